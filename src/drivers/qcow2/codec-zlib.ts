/**
 * zlib clusters: raw deflate streams with a window of 4 KiB (specification, "Compressed clusters").
 *
 * Making a deflate state costs 268 KiB of cleared memory and a stream object, about a fifth of the time that a
 * 64 KiB cluster takes; states are therefore kept and reset. With Z_FINISH as the flush mode of every write,
 * one write is one complete stream. Inflating cannot be reused like that, since a Node stream that met bytes
 * after the end of the data has ended for good; there the one-shot call is as fast as the sync one per processor.
 */
import type { DeflateRaw } from 'node:zlib';
import type { Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { badCluster } from './bad-cluster.ts';
import { zlib } from './zlib.ts';

const WINDOW_BITS = 12;
/** 1 to 9: most memory, best speed; what other writers of the format use. */
const MEMORY_LEVEL = 9;
/** Output is cut from a buffer of this size; several clusters share one. */
const OUTPUT_CHUNK = 256 * 1024;
/** Above any cluster, so that the output of one write is never held back. */
const OUTPUT_MARK = 16 * 1024 * 1024;
/** More idle states than a copy has requests in flight would only take memory. */
const MAX_IDLE = 16;
/** Below this a trip through the thread pool costs more than the work. */
const SYNC_LIMIT = 16 * 1024;
/** Room for one byte more than a cluster tells "exactly one cluster" from "more" in a single step. */
const SLACK = 512;

/** States not in use: a cache without identity, shared by all images. */
const idle: DeflateRaw[] = [];

/** `cluster` as a raw deflate stream. */
export async function deflateCluster(cluster: Uint8Array): Promise<Uint8Array> {
  const state = idle.pop() ?? newState();
  const packed = await runOnce(state, cluster);
  if (idle.length < MAX_IDLE) {
    state.reset();
    idle.push(state);
  } else state.close();
  return packed;
}

function newState(): DeflateRaw {
  const options = {
    windowBits: WINDOW_BITS,
    memLevel: MEMORY_LEVEL,
    chunkSize: OUTPUT_CHUNK,
    flush: zlib().constants.Z_FINISH,
    readableHighWaterMark: OUTPUT_MARK,
  };
  const state = zlib().createDeflateRaw(options);
  // A failed write is reported by its callback; without a listener the event would end the process.
  state.on('error', () => undefined);
  return state;
}

function runOnce(state: DeflateRaw, cluster: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    state.write(cluster, (error) => {
      const packed: unknown = error ? undefined : state.read();
      if (packed instanceof Uint8Array) resolve(packed);
      else reject(new BlockError('compressing a cluster failed', { code: 'ENOMEM', cause: error }));
    });
  });
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
