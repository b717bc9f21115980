/**
 * The real process as an {@link Io}: standard output and error, signals, environment.
 *
 * Output is written straight to the descriptors, before `write` returns: Node's stream objects cost more to
 * set up than a short command takes, and lose what is buffered when the process is ended.
 */
import { fstatSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { asBlockError, BlockError, Cancelled } from '../../core/errors/block-error.ts';
import type { Io, Output } from './io.ts';
import { INTERNAL_ERROR, report } from './report.ts';

export interface ProcessIo extends Io {
  /** Exit status when a signal asked for the end: 128 and its number. */
  readonly signalStatus: number | undefined;
  /** Give signals their usual effect back. The command has ended, or is given up; until then the process must not. */
  end(): void;
}

/** Signals that ask a command to end. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Signals that ask for a progress line; SIGINFO is Ctrl-T on BSD and macOS. */
const ASKING = process.platform === 'darwin' ? (['SIGUSR1', 'SIGINFO'] as const) : (['SIGUSR1'] as const);

export function processIo(programName: string): ProcessIo {
  const controller = new AbortController();
  let signalStatus: number | undefined;
  let ended = false;
  const onSignal = (name: NodeJS.Signals): void => {
    if (signalStatus === undefined) {
      signalStatus = 128 + constants.signals[name];
      controller.abort(new Cancelled('interrupted'));
      return;
    }
    // Asked twice: no time to clean up, nor to wait for threads that are stuck, as leaving in the usual way would.
    io.end();
    restoreTerminal();
    process.kill(process.pid, name);
  };
  const onExit = (code: number): void => {
    if (ended || code !== 0) return;
    // Nothing is left that could wake the command: it waits for something that will never come.
    if (signalStatus === undefined) stderr.write(`${programName}: internal error: the command did not end\n`);
    process.exitCode = signalStatus ?? INTERNAL_ERROR;
  };
  const onCrash = (error: unknown): void => process.exit(report(error, io));
  const stderr = new DescriptorOutput(2, () => process.stderr);
  for (const name of ENDING) process.on(name, onSignal);
  process.on('exit', onExit);
  process.on('uncaughtException', onCrash);
  const io: ProcessIo = {
    programName,
    stdout: new DescriptorOutput(1, () => process.stdout),
    stderr,
    env: process.env,
    signal: controller.signal,
    onUsr1(listener) {
      for (const name of ASKING) process.on(name, listener);
      return () => {
        for (const name of ASKING) process.off(name, listener);
      };
    },
    get signalStatus() {
      return signalStatus;
    },
    end() {
      ended = true;
      for (const name of ENDING) process.off(name, onSignal);
      process.off('exit', onExit);
      process.off('uncaughtException', onCrash);
    },
  };
  return io;
}

/** Lines and echo again, where a prompt has taken them over. */
function restoreTerminal(): void {
  if (isCharacterDevice(0) && process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
}

/** How long to wait for a full pipe before trying again, in milliseconds. */
const RETRY_MS = 5;

class DescriptorOutput implements Output {
  readonly #fd: number;
  readonly #stream: () => NodeJS.WriteStream;
  #closed = false;
  #isTTY: boolean | undefined;

  constructor(fd: number, stream: () => NodeJS.WriteStream) {
    this.#fd = fd;
    this.#stream = stream;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get isTTY(): boolean {
    this.#isTTY ??= isCharacterDevice(this.#fd) && this.#stream().isTTY === true;
    return this.#isTTY;
  }

  get columns(): number {
    return (this.isTTY ? this.#stream().columns : undefined) ?? 80;
  }

  write(text: string | Uint8Array): void {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    for (let at = 0; at < bytes.length && !this.#closed; ) {
      try {
        at += writeSync(this.#fd, bytes, at);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /** Wait when the reader is slow, stop writing when it is gone. */
  #failed(error: unknown): void {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EAGAIN') {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      return;
    }
    this.#closed = true;
    if (code === 'EPIPE' || code === 'EIO' || code === 'EBADF' || this.#fd !== 1) return;
    const { message, code: errno } = asBlockError(error);
    throw new BlockError(`cannot write to standard output: ${message}`, { code: errno, cause: error });
  }
}

function isCharacterDevice(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false; // closed by whoever started us
  }
}
