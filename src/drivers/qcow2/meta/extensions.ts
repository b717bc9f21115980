/** Header extensions (specification, "Header extensions"): typed where this driver knows them, kept as they are elsewhere. */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { Limit } from './limits.ts';
import { copyOf, getU64, setU64, viewOf } from './struct.ts';

export const ExtensionType = {
  END: 0,
  BACKING_FORMAT: 0xe2792aca,
  FEATURE_NAMES: 0x6803f857,
  BITMAPS: 0x23852875,
  CRYPTO: 0x0537be77,
  DATA_FILE: 0x44415441,
  /** Our own, see own-extensions.ts: "BYFP" and "BYGN". */
  BASE_FINGERPRINT: 0x42594650,
  GENERATION: 0x4259474e,
} as const;

export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Order in which known extensions are written; unknown ones follow in the order they were found. */
const WRITE_ORDER: readonly number[] = [
  ExtensionType.BACKING_FORMAT,
  ExtensionType.DATA_FILE,
  ExtensionType.CRYPTO,
  ExtensionType.FEATURE_NAMES,
  ExtensionType.BITMAPS,
];

/** What two of would contradict each other about clusters; of the other known ones the last counts, as it does for QEMU. */
const ONCE: readonly number[] = [ExtensionType.DATA_FILE, ExtensionType.CRYPTO, ExtensionType.BITMAPS];

const pad = (length: number): number => Math.ceil(length / 8) * 8;

/** The extensions between `start` and `end` (the backing file name, or the end of the first cluster). */
export function decodeExtensions(
  bytes: Uint8Array,
  range: { start: number; end: number },
  fileName: string,
): Extension[] {
  const end = Math.min(range.end, bytes.length);
  const view = viewOf(bytes);
  const found: Extension[] = [];
  const places = new Map<number, number>();
  let at = range.start;
  while (at < end && at + 8 <= bytes.length) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    at += 8;
    const name = `0x${type.toString(16).padStart(8, '0')}`;
    if (length > end - at && (length > 0 || type !== ExtensionType.END)) {
      throw new CorruptImage(
        `'${fileName}': header extension ${name} is ${length} bytes long, only ${Math.max(0, end - at)} bytes are left for it`,
        { code: 'EINVAL' },
      );
    }
    // Only now: others look at the length of the end marker too, and refuse the image for it.
    if (type === ExtensionType.END) break;
    const data = copyOf(bytes, at, at + length);
    const before = places.get(type);
    if (before !== undefined && ONCE.includes(type)) {
      throw new CorruptImage(`'${fileName}': header extension ${name} appears twice`, { code: 'EINVAL' });
    }
    if (before !== undefined && WRITE_ORDER.includes(type)) found[before] = { type, data };
    else places.set(type, found.push({ type, data }) - 1);
    at += pad(length);
  }
  return found;
}

/** All extensions in write order with the end marker. */
export function encodeExtensions(extensions: readonly Extension[]): Uint8Array {
  const known = WRITE_ORDER.flatMap((type) => extensions.filter((extension) => extension.type === type));
  const unknown = extensions.filter((extension) => !WRITE_ORDER.includes(extension.type));
  const list = [...known, ...unknown];
  const total = list.reduce((sum, extension) => sum + 8 + pad(extension.data.length), 8);
  const bytes = new Uint8Array(total);
  const view = viewOf(bytes);
  let at = 0;
  for (const { type, data } of list) {
    view.setUint32(at, type);
    view.setUint32(at + 4, data.length);
    bytes.set(data, at + 8);
    at += 8 + pad(data.length);
  }
  return bytes;
}

export function findExtension(extensions: readonly Extension[], type: number): Uint8Array | undefined {
  return extensions.find((extension) => extension.type === type)?.data;
}

/** A list with the extension of that type replaced, added, or (data undefined) removed. */
export function withExtension(list: readonly Extension[], type: number, data: Uint8Array | undefined): Extension[] {
  const rest = list.filter((extension) => extension.type !== type);
  return data === undefined ? rest : [...rest, { type, data }];
}

/** The text of a string extension up to a NUL, or undefined when it is absent. */
export function stringExtension(extensions: readonly Extension[], type: number): string | undefined {
  const data = findExtension(extensions, type);
  if (data === undefined) return undefined;
  const end = data.indexOf(0);
  return Buffer.from(end < 0 ? data : data.subarray(0, end)).toString('utf8');
}

/** Where the bitmap directory lies. */
export interface BitmapsExtension {
  readonly count: number;
  /** Bytes. */
  readonly directorySize: number;
  readonly directoryOffset: number;
}

const BITMAPS_BYTES = 24;

export function decodeBitmapsExtension(data: Uint8Array, clusterSize: number, fileName: string): BitmapsExtension {
  const fail = (what: string): never => {
    throw new CorruptImage(`'${fileName}': bitmaps extension: ${what}`, { code: 'EINVAL' });
  };
  if (data.length !== BITMAPS_BYTES) fail(`it is ${data.length} bytes long, expected ${BITMAPS_BYTES}`);
  const view = viewOf(data);
  const count = view.getUint32(0);
  const directorySize = getU64(view, 8);
  const directoryOffset = getU64(view, 16);
  if (view.getUint32(4) !== 0) fail('the reserved field is not zero');
  if (count === 0) fail('nb_bitmaps is 0');
  if (count > Limit.MAX_BITMAPS) fail(`nb_bitmaps is ${count}, the limit is ${Limit.MAX_BITMAPS}`);
  if (directorySize > Limit.MAX_BITMAP_DIRECTORY_BYTES) {
    fail(`bitmap_directory_size is ${directorySize}, the limit is ${Limit.MAX_BITMAP_DIRECTORY_BYTES}`);
  }
  if (directoryOffset > Limit.MAX_HOST_OFFSET || directoryOffset % clusterSize !== 0 || directoryOffset === 0) {
    fail(`bitmap_directory_offset is ${directoryOffset}, it must be a multiple of the cluster size ${clusterSize}`);
  }
  return { count, directorySize, directoryOffset };
}

export function encodeBitmapsExtension(extension: BitmapsExtension): Uint8Array {
  const data = new Uint8Array(BITMAPS_BYTES);
  const view = viewOf(data);
  view.setUint32(0, extension.count);
  setU64(view, 8, extension.directorySize);
  setU64(view, 16, extension.directoryOffset);
  return data;
}

/** Where the LUKS header lies in the file. */
export interface CryptoExtension {
  readonly offset: number;
  readonly length: number;
}

export function decodeCryptoExtension(data: Uint8Array, clusterSize: number, fileName: string): CryptoExtension {
  if (data.length !== 16) {
    throw new CorruptImage(`'${fileName}': the encryption header pointer is ${data.length} bytes long, expected 16`);
  }
  const view = viewOf(data);
  const offset = getU64(view, 0);
  const length = getU64(view, 8);
  if (offset > Limit.MAX_HOST_OFFSET || offset % clusterSize !== 0 || offset === 0) {
    throw new CorruptImage(`'${fileName}': the encryption header is at ${offset}, which is not on a cluster boundary`);
  }
  return { offset, length };
}

export function encodeCryptoExtension(extension: CryptoExtension): Uint8Array {
  const data = new Uint8Array(16);
  const view = viewOf(data);
  setU64(view, 0, extension.offset);
  setU64(view, 8, extension.length);
  return data;
}
