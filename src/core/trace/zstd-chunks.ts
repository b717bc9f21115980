/**
 * Unpacking a zstd file frame by frame (RFC 8878, 3.1). The end of each frame is found first from the sizes of its
 * blocks, which also tell how much it could unpack to, before any of it is unpacked.
 */
import { asBlockError, BlockError } from '../errors/block-error.ts';
import type { Position } from './chunks.ts';
import { zstdDecompressor } from './compression.ts';

const MAGIC = 0xfd2fb528;
/** Frames to be passed over: 0x184d2a50 to 0x184d2a5f. */
const SKIPPABLE = 0x184d2a5;
/** No block unpacks to more (3.1.1.2.4). */
const BLOCK_MAX = 128 * 1024;
/** Most that one frame may unpack to, in bytes; ours hold a MiB. */
const FRAME_LIMIT = 256 * 1024 * 1024;

export async function* zstdChunks(chunks: AsyncIterable<Uint8Array>, position: Position): AsyncGenerator<Uint8Array> {
  const unpack = zstdDecompressor(FRAME_LIMIT);
  const pending = new Pending();
  for await (const chunk of chunks) {
    pending.add(chunk);
    for (let frame = frameAt(pending.bytes); frame !== undefined; frame = frameAt(pending.bytes)) {
      const bytes = pending.take(frame.length);
      if (!frame.skip) yield unpackFrame(unpack, bytes);
    }
    if (pending.bytes.length > FRAME_LIMIT) throw tooLarge();
  }
  if (pending.bytes.length > 0) position.torn = true;
}

/** What has come and is no whole frame yet, in memory that grows by doubling. */
class Pending {
  #memory = Buffer.alloc(1 << 20);
  #start = 0;
  #end = 0;

  get bytes(): Buffer {
    return this.#memory.subarray(this.#start, this.#end);
  }

  add(chunk: Uint8Array): void {
    const length = this.#end - this.#start;
    if (this.#end + chunk.length > this.#memory.length) {
      const memory = Buffer.allocUnsafe(Math.max(this.#memory.length, 2 * (length + chunk.length)));
      memory.set(this.bytes);
      this.#memory = memory;
      this.#start = 0;
      this.#end = length;
    }
    this.#memory.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The first `length` bytes, which stay as they are until more is added. */
  take(length: number): Buffer {
    this.#start += length;
    return this.#memory.subarray(this.#start - length, this.#start);
  }
}

function unpackFrame(unpack: (frame: Uint8Array) => Uint8Array, bytes: Uint8Array): Uint8Array {
  try {
    return unpack(bytes);
  } catch (error) {
    throw new BlockError(`it is not valid zstd data (${asBlockError(error).message})`, { code: 'EIO', cause: error });
  }
}

/** The whole frame that `data` begins with; undefined when there is not all of it. */
function frameAt(data: Buffer): { readonly length: number; readonly skip: boolean } | undefined {
  if (data.length < 9) return undefined;
  const magic = data.readUInt32LE(0);
  if (magic >>> 4 === SKIPPABLE) {
    const length = 8 + data.readUInt32LE(4);
    return data.length < length ? undefined : { length, skip: true };
  }
  if (magic !== MAGIC) throw new BlockError('it is not valid zstd data (no frame begins here)', { code: 'EIO' });
  return blocksEnd(data);
}

function blocksEnd(data: Buffer): { readonly length: number; readonly skip: false } | undefined {
  const descriptor = data.readUInt8(4);
  const single = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >>> 6;
  const sizeBytes = sizeFlag === 0 ? (single ? 1 : 0) : 1 << sizeFlag;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  let at = 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes;
  let content = 0;
  for (let last = false; !last; ) {
    if (data.length < at + 3) return undefined;
    const head = data.readUIntLE(at, 3);
    last = (head & 1) !== 0;
    const isRepeat = ((head >>> 1) & 3) === 1;
    at += 3 + (isRepeat ? 1 : head >>> 3);
    content += BLOCK_MAX;
    if (content > FRAME_LIMIT) throw tooLarge();
  }
  const length = at + ((descriptor & 4) !== 0 ? 4 : 0);
  return data.length < length ? undefined : { length, skip: false };
}

function tooLarge(): BlockError {
  return new BlockError(`a zstd frame may unpack to more than the limit of ${FRAME_LIMIT} bytes`, {
    code: 'EFBIG',
    hint: 'Unpack the file first',
  });
}
