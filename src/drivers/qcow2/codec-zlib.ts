/** zlib clusters: raw deflate streams with a window of 4 KiB (specification, "Compressed clusters"). */
import type { Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { badCluster } from './bad-cluster.ts';
import { CompressorPool, STREAM_OPTIONS } from './compressor-pool.ts';
import { InflaterPool } from './inflater.ts';
import { zlib } from './zlib.ts';

const WINDOW_BITS = 12;
/** Size of the hash tables, 1 to 9. 9 makes the output up to 0.1 % smaller or 0.2 % larger, and is slower. */
const MEMORY_LEVEL = 8;
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

const inflaters = new Map<number, InflaterPool>();

/** Exactly `clusterSize` bytes out of a raw deflate stream that may be followed by anything. */
export function inflateCluster(stored: Uint8Array, clusterSize: number): Maybe<Uint8Array> {
  return clusterSize <= SYNC_LIMIT ? inflateNow(stored, clusterSize) : inflateInPool(stored, clusterSize);
}

function inflateNow(stored: Uint8Array, clusterSize: number): Uint8Array {
  const options = {
    windowBits: WINDOW_BITS,
    chunkSize: clusterSize + SLACK,
    maxOutputLength: clusterSize + 1,
    finishFlush: zlib().constants.Z_SYNC_FLUSH,
  };
  let data: Uint8Array;
  try {
    data = zlib().inflateRawSync(stored, options);
  } catch (error) {
    throw inflateError(error, clusterSize);
  }
  return whole(data, clusterSize);
}

async function inflateInPool(stored: Uint8Array, clusterSize: number): Promise<Uint8Array> {
  let pool = inflaters.get(clusterSize);
  if (!pool) {
    pool = new InflaterPool(clusterSize);
    inflaters.set(clusterSize, pool);
  }
  const data = await pool.inflate(stored).catch((error: unknown) => {
    throw inflateError(error, clusterSize);
  });
  return whole(data, clusterSize);
}

function whole(data: Uint8Array, clusterSize: number): Uint8Array {
  if (data.length !== clusterSize) throw badCluster(`it unpacks to ${data.length} bytes, expected ${clusterSize}`);
  return data;
}

function inflateError(error: unknown, clusterSize: number): BlockError {
  if (error instanceof BlockError) return error;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ERR_BUFFER_TOO_LARGE') return badCluster(`it unpacks to more than the cluster size ${clusterSize}`);
  return badCluster('it is not valid deflate data', error);
}
