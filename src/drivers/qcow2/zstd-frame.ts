/** The outline of a zstd frame (RFC 8878, section 3.1.1): where it ends and how much may come out, decoding nothing. */
import { badCluster } from './bad-cluster.ts';
import { viewOf } from './meta/struct.ts';

const FRAME_MAGIC = 0xfd2fb528;
const MAX_BLOCK = 128 * 1024;
const CHECKSUM_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
const BlockType = { RAW: 0, RLE: 1, COMPRESSED: 2 } as const;
/** Bytes of the dictionary id and of the content size, by their two-bit codes. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

export interface ZstdFrame {
  /** Bytes from the magic to the end of the last block or the checksum. */
  readonly length: number;
  /** As the header says, if it does. */
  readonly contentSize: number | undefined;
  /** No valid frame with these blocks unpacks to more. */
  readonly mostContent: number;
}

/** Walk the blocks of the frame at the start of `stored`. Throws CorruptImage when it is none or is cut off. */
export function measureFrame(stored: Uint8Array): ZstdFrame {
  const view = viewOf(stored);
  const header = readFrameHeader(view);
  let at = header.end;
  let mostContent = 0;
  for (;;) {
    if (at + BLOCK_HEADER_BYTES > stored.length) throw cutOff();
    const word = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (word >> 1) & 3;
    const size = word >> 3;
    if (type > BlockType.COMPRESSED) throw badCluster('its zstd frame has a block of a reserved type');
    if (size > MAX_BLOCK) throw badCluster(`its zstd frame has a block of ${size} bytes, the limit is ${MAX_BLOCK}`);
    at += BLOCK_HEADER_BYTES + (type === BlockType.RLE ? 1 : size);
    if (at > stored.length) throw cutOff();
    mostContent += type === BlockType.COMPRESSED ? header.blockLimit : size;
    if ((word & 1) !== 0) break;
  }
  const length = at + (header.checksum ? CHECKSUM_BYTES : 0);
  if (length > stored.length) throw cutOff();
  return { length, contentSize: header.contentSize, mostContent };
}

interface FrameHeader {
  readonly end: number;
  readonly contentSize: number | undefined;
  readonly checksum: boolean;
  /** Most bytes that one block may unpack to. */
  readonly blockLimit: number;
}

function readFrameHeader(view: DataView): FrameHeader {
  if (view.byteLength < 6) throw cutOff();
  if (view.getUint32(0, true) !== FRAME_MAGIC) throw badCluster('it does not begin with a zstd frame');
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0) throw badCluster('its zstd frame header has a reserved bit set');
  let at = 5;
  let window = 0;
  if (!singleSegment) {
    const code = view.getUint8(at);
    const base = 2 ** (10 + (code >> 3));
    window = base + (base / 8) * (code & 7);
    at += 1;
  }
  at += DICTIONARY_BYTES[descriptor & 3] ?? 0;
  const sizeCode = descriptor >> 6;
  const sizeBytes = sizeCode === 0 && singleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeCode] ?? 0);
  if (at + sizeBytes > view.byteLength) throw cutOff();
  const contentSize = readContentSize(view, at, sizeBytes);
  if (singleSegment) window = contentSize ?? 0;
  return {
    end: at + sizeBytes,
    contentSize,
    checksum: (descriptor & 0x04) !== 0,
    blockLimit: Math.min(MAX_BLOCK, window),
  };
}

function readContentSize(view: DataView, at: number, bytes: number): number | undefined {
  if (bytes === 0) return undefined;
  if (bytes === 1) return view.getUint8(at);
  if (bytes === 2) return view.getUint16(at, true) + 256;
  if (bytes === 4) return view.getUint32(at, true);
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function cutOff(): Error {
  return badCluster('its zstd frame is cut off');
}
