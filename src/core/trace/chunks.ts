/** The bytes of a trace file of any length, unpacked when it is compressed. */
import fs from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { asBlockError, BlockError, withContext } from '../errors/block-error.ts';
import { zstdChunks } from './zstd-chunks.ts';

const CHUNK = 256 * 1024;

/** How far the reading of a file has come, in bytes of the file. */
export interface Position {
  done: number;
  /** 0 for a pipe. */
  total: number;
  /** The file ends in the middle of what was compressed. */
  torn: boolean;
}

/** Chunks of `path`, `-` for standard input. Throws BlockError that names the file. */
export async function* readChunks(path: string, position: Position): AsyncGenerator<Uint8Array> {
  const raw = readFile(path === '-' ? '/dev/stdin' : path, position);
  try {
    const first = await raw.next();
    if (first.done) return;
    const whole = chain(first.value, raw);
    if (startsWith(first.value, [0x1f, 0x8b])) yield* gunzip(whole, position);
    else if (startsWith(first.value, [0x28, 0xb5, 0x2f, 0xfd])) yield* zstdChunks(whole, position);
    else yield* whole;
  } catch (error) {
    throw withContext(`trace '${path}'`, error);
  } finally {
    await raw.return(undefined);
  }
}

async function* readFile(path: string, position: Position): AsyncGenerator<Uint8Array> {
  const file = await fs.open(path, 'r');
  try {
    const stat = await file.stat();
    if (stat.isDirectory()) throw new BlockError('Is a directory', { code: 'EISDIR' });
    if (stat.isFile()) position.total = stat.size;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, null);
      if (bytesRead === 0) return;
      position.done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function* chain(first: Uint8Array, rest: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}

async function* gunzip(chunks: AsyncGenerator<Uint8Array>, position: Position): AsyncGenerator<Uint8Array> {
  const stream = createGunzip({ chunkSize: CHUNK });
  let failure: unknown;
  const feeding = (async () => {
    for await (const chunk of chunks) {
      if (stream.destroyed) return;
      if (!stream.write(chunk)) await new Promise<void>((resolve) => onceAny(stream, resolve));
    }
    stream.end();
  })().catch((error: unknown) => {
    failure = error;
    stream.destroy();
  });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'Z_BUF_ERROR' && failure === undefined) {
      throw new BlockError(`it is not valid gzip data (${asBlockError(error).message})`, { code: 'EIO', cause: error });
    }
    position.torn = true;
  } finally {
    stream.destroy();
    await feeding;
  }
  if (failure !== undefined) throw failure;
}

function onceAny(stream: NodeJS.EventEmitter, resolve: () => void): void {
  for (const event of ['drain', 'close', 'error']) stream.once(event, resolve);
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}
