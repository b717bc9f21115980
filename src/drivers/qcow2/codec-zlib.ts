/**
 * zlib clusters: raw deflate streams with a window of 4 KiB (specification, "Compressed clusters").
 *
 * Inflating makes a new state each time, since a Node stream that met bytes after the end of the data has ended
 * for good; the one-shot call on the thread pool is as fast as the sync one per processor.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { BlockError } from '../../core/errors/block-error.ts';
import { badCluster } from './bad-cluster.ts';
import { CompressorPool, STREAM_OPTIONS } from './compressor-pool.ts';
import { zlib } from './zlib.ts';

const WINDOW_BITS = 12;
/** 1 to 9: most memory, best speed; what other writers of the format use. */
const MEMORY_LEVEL = 9;
/** Below this a trip through the thread pool costs more than the work. */
const SYNC_LIMIT = 16 * 1024;
/** Room for one byte more than a cluster tells "exactly one cluster" from "more" in a single step. */
const SLACK = 512;

/** Idle states have no identity: all images share them. */
const pool = new CompressorPool(() =>
  zlib().createDeflateRaw({
    ...STREAM_OPTIONS,
    windowBits: WINDOW_BITS,
    memLevel: MEMORY_LEVEL,
    flush: zlib().constants.Z_FINISH,
  }),
);

/** `cluster` as a raw deflate stream. */
export function deflateCluster(cluster: Uint8Array): Promise<Uint8Array> {
  return pool.compress(cluster);
}

/** Exactly `clusterSize` bytes out of a raw deflate stream that may be followed by anything. */
export function inflateCluster(stored: Uint8Array, clusterSize: number): Maybe<Uint8Array> {
  const options = {
    windowBits: WINDOW_BITS,
    chunkSize: clusterSize + SLACK,
    maxOutputLength: clusterSize + 1,
    finishFlush: zlib().constants.Z_SYNC_FLUSH,
  };
  if (clusterSize <= SYNC_LIMIT) {
    let data: Uint8Array;
    try {
      data = zlib().inflateRawSync(stored, options);
    } catch (error) {
      throw inflateError(error, clusterSize);
    }
    return whole(data, clusterSize);
  }
  return new Promise((resolve, reject) => {
    zlib().inflateRaw(stored, options, (error, data) => {
      if (error) reject(inflateError(error, clusterSize));
      else if (data.length === clusterSize) resolve(data);
      else reject(wrongLength(data.length, clusterSize));
    });
  });
}

function whole(data: Uint8Array, clusterSize: number): Uint8Array {
  if (data.length !== clusterSize) throw wrongLength(data.length, clusterSize);
  return data;
}

function wrongLength(length: number, clusterSize: number): BlockError {
  if (length > clusterSize) return badCluster(`it unpacks to more than the cluster size ${clusterSize}`);
  return badCluster(`it unpacks to ${length} bytes, expected ${clusterSize}`);
}

function inflateError(error: unknown, clusterSize: number): BlockError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ERR_BUFFER_TOO_LARGE') return wrongLength(clusterSize + 1, clusterSize);
  return badCluster('it is not valid deflate data', error);
}
