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
  zstdCompressSync?(data: Uint8Array, options: { params: Record<number, number> }): Uint8Array;
  zstdDecompressSync?(data: Uint8Array, options: { maxOutputLength: number }): Uint8Array;
}

function loadZlib(): typeof NodeZlib & ZlibWithZstd {
  return require('node:zlib') as typeof NodeZlib & ZlibWithZstd;
}

function zstdCompressor(): Compressor {
  const zlib = loadZlib();
  const { zstdCompressSync } = zlib;
  if (zstdCompressSync) {
    const level = (zlib.constants as unknown as Record<string, number>).ZSTD_c_compressionLevel ?? 100;
    return (data) => zstdCompressSync(data, { params: { [level]: ZSTD_LEVEL } });
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
