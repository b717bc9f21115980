/** Where the bytes of a script come from. */
import fs from 'node:fs';
import { nextTurn } from '../../core/async/turn.ts';

export interface Input {
  /** The next piece, gone when the one after it is asked for; undefined at the end. */
  more(): Promise<Uint8Array | undefined>;
  /** Nothing will be asked for any more: a read that waits must not keep the program alive. */
  close(): void;
}

const CHUNK = 64 * 1024;

/** Standard input as it is. */
export function standardInput(signal: AbortSignal): Input {
  return isFile(0) ? fileInput(0) : streamInput(() => process.stdin, signal);
}

function isFile(fd: number): boolean {
  try {
    return fs.fstatSync(fd).isFile();
  } catch {
    return false;
  }
}

/** A file is read when it is needed; between two pieces the event loop gets its turn. */
export function fileInput(fd: number): Input {
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  return {
    async more() {
      await nextTurn();
      const length = fs.readSync(fd, buffer, 0, CHUNK, null);
      return length === 0 ? undefined : buffer.subarray(0, length);
    },
    close: () => undefined,
  };
}

/** A pipe, a socket or a device: waiting for it must not hold up anything else. */
export function streamInput(open: () => NodeJS.ReadStream, signal: AbortSignal): Input {
  let stream: NodeJS.ReadStream | undefined;
  let pieces: AsyncIterator<Uint8Array> | undefined;
  const close = (): void => void stream?.destroy();
  return {
    async more() {
      if (signal.aborted) return undefined;
      stream ??= open();
      pieces ??= stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      signal.addEventListener('abort', close, { once: true });
      try {
        const piece = await pieces.next();
        return piece.done ? undefined : piece.value;
      } catch {
        return undefined; // closed by whoever started us, or by a signal
      } finally {
        signal.removeEventListener('abort', close);
      }
    },
    close,
  };
}
