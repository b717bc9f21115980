/**
 * Compression of clusters, by the type that the header names.
 *
 * Work above a small cluster runs on the thread pool, so many clusters at once use all processors. A stored
 * cluster ends at a sector boundary, so the compressed data is followed by bytes that mean nothing. What an
 * image says is never trusted with memory: output is bounded to one cluster before or while it is made.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { deflateCluster, inflateCluster } from './codec-zlib.ts';
import { compressZstd, decompressZstd } from './codec-zstd.ts';
import { Compression } from './meta/header.ts';

/**
 * `cluster` compressed by `type` (a value of `Compression`), or undefined when that does not make it smaller.
 * `cluster` must not change until the promise is settled.
 */
export async function compress(type: number, cluster: Uint8Array): Promise<Uint8Array | undefined> {
  const packed = await compressor(type)(cluster);
  return packed.length < cluster.length ? packed : undefined;
}

/**
 * The `clusterSize` bytes that `stored` (compressed data and what follows it up to the end of its last sector)
 * stands for. Throws or rejects with CorruptImage when it stands for more, for less, or for nothing.
 */
export function decompress(type: number, stored: Uint8Array, clusterSize: number): Maybe<Uint8Array> {
  if (type === Compression.ZLIB) return inflateCluster(stored, clusterSize);
  if (type === Compression.ZSTD) return decompressZstd(stored, clusterSize);
  throw unknownType(type);
}

function compressor(type: number): (cluster: Uint8Array) => Promise<Uint8Array> {
  if (type === Compression.ZLIB) return deflateCluster;
  if (type === Compression.ZSTD) return compressZstd;
  throw unknownType(type);
}

function unknownType(type: number): NotSupported {
  return new NotSupported(`compression type ${type} is not supported, only zlib (0) and zstd (1)`);
}
