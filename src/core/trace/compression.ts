/**
 * Compressed traces: gzip and zstd, by the ending of the name in writing and by the first bytes in reading. Chunks
 * are written as members or frames of their own, one behind the other, which every decompressor reads as one file.
 */
import { createRequire } from 'node:module';
import type * as NodeZlib from 'node:zlib';
import type * as ZstdPackage from '@toondepauw/node-zstd';

const require = createRequire(import.meta.filename);

export type Compressor = (data: Uint8Array) => Uint8Array;

/** Fast ones: lines of numbers shrink to a tenth at any level. */
const GZIP_LEVEL = 1;
const ZSTD_LEVEL = 1;

/** How a file of this name is compressed; undefined for not at all. */
export function compressorFor(path: string): Compressor | undefined {
  if (path.endsWith('.gz')) {
    const zlib = loadZlib();
    return (data) => zlib.gzipSync(data, { level: GZIP_LEVEL });
  }
  return path.endsWith('.zst') ? zstdCompressor() : undefined;
}

/** Node's zlib as it is from 22.15 on. */
interface ZlibWithZstd {
  readonly constants?: { readonly ZSTD_c_compressionLevel?: number; readonly ZSTD_c_checksumFlag?: number };
  zstdCompressSync?(data: Uint8Array, options: { params: Record<number, number> }): Uint8Array;
  zstdDecompressSync?(data: Uint8Array, options: { maxOutputLength: number }): Uint8Array;
}

function loadZlib(): typeof NodeZlib & ZlibWithZstd {
  return require('node:zlib') as typeof NodeZlib & ZlibWithZstd;
}

/**
 * Frames with the checksum of their content (RFC 8878, 3.1.1) where Node makes them, for the package cannot; both verify
 * one in reading.
 */
export function zstdCompressor(zlib: ZlibWithZstd = loadZlib()): Compressor {
  const { zstdCompressSync, constants = {} } = zlib;
  if (zstdCompressSync) {
    const { ZSTD_c_compressionLevel: level = 100, ZSTD_c_checksumFlag: checksum = 201 } = constants;
    return (data) => zstdCompressSync(data, { params: { [level]: ZSTD_LEVEL, [checksum]: 1 } });
  }
  const encoder = new (loadPackage().Encoder)(ZSTD_LEVEL);
  return (data) => encoder.encodeSync(Buffer.from(data.buffer, data.byteOffset, data.length));
}

/** Unpacks whole zstd frames of at most `limit` bytes of content. */
export function zstdDecompressor(limit: number): Compressor {
  const { zstdDecompressSync } = loadZlib();
  if (zstdDecompressSync) return (frame) => zstdDecompressSync(frame, { maxOutputLength: limit });
  const decoder = new (loadPackage().Decoder)();
  return (frame) => decoder.decodeSync(Buffer.from(frame.buffer, frame.byteOffset, frame.length));
}

function loadPackage(): typeof ZstdPackage {
  return require('@toondepauw/node-zstd') as typeof ZstdPackage;
}
