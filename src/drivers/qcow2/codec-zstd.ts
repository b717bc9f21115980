/**
 * zstd clusters: one frame per cluster (specification, "Compressed clusters"; RFC 8878).
 *
 * Node's own zstd where it has one (from 22.15), else the package with a prebuilt binary. The package decodes
 * all it is given and to any length, so the end of the frame is found first, and a frame that could unpack to
 * far more than a cluster is refused before any of it is decoded (`zstd-frame.ts`).
 */
import type * as NodeZstdPackage from '@toondepauw/node-zstd';
import { BlockError } from '../../core/errors/block-error.ts';
import { badCluster } from './bad-cluster.ts';
import { type Compressor, CompressorPool, STREAM_OPTIONS } from './compressor-pool.ts';
import { zlib } from './zlib.ts';
import { measureFrame } from './zstd-frame.ts';

/** The default of zstd, also Node's, and what other writers use. */
const LEVEL = 3;

interface Zstd {
  compress(data: Uint8Array): Promise<Uint8Array>;
  /** One whole frame; at most `limit` bytes come out, where that can be had. */
  decompress(frame: Uint8Array, limit: number): Promise<Uint8Array>;
}

let loaded: Promise<Zstd> | undefined;

export async function compressZstd(cluster: Uint8Array): Promise<Uint8Array> {
  loaded ??= load();
  return (await loaded).compress(cluster);
}

/** Exactly `clusterSize` bytes out of a frame that may be followed by anything. */
export async function decompressZstd(stored: Uint8Array, clusterSize: number): Promise<Uint8Array> {
  const frame = measureFrame(stored);
  if (frame.contentSize !== undefined && frame.contentSize !== clusterSize) {
    throw badCluster(`its zstd frame holds ${frame.contentSize} bytes, expected ${clusterSize}`);
  }
  // Writers cut a cluster into few blocks; a frame of countless tiny ones that each may grow is not theirs.
  const most = 16 * 1024 * 1024 + 8 * clusterSize;
  if (frame.mostContent > most) {
    throw badCluster(`its zstd frame may unpack to ${frame.mostContent} bytes, the limit is ${most}`);
  }
  loaded ??= load();
  const zstd = await loaded;
  let data: Uint8Array;
  try {
    data = await zstd.decompress(stored.subarray(0, frame.length), clusterSize);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_BUFFER_TOO_LARGE') throw badCluster(`it unpacks to more than the cluster size ${clusterSize}`);
    throw badCluster('it is not a valid zstd frame', error);
  }
  if (data.length !== clusterSize) throw badCluster(`it unpacks to ${data.length} bytes, expected ${clusterSize}`);
  return data;
}

async function load(): Promise<Zstd> {
  return fromNode(zlib()) ?? fromPackage();
}

type Callback = (error: Error | null, result: Uint8Array) => void;
/** The part of `node:zlib` that the oldest supported Node does not have yet. */
interface NodeZstd {
  createZstdCompress(options: Readonly<Record<string, unknown>>): Compressor;
  zstdDecompress(data: Uint8Array, options: { chunkSize: number; maxOutputLength: number }, callback: Callback): void;
}

/** ZSTD_e_end: every write ends a frame. */
const END_FRAME = 2;

function fromNode(module: object): Zstd | undefined {
  if (!hasZstd(module)) return undefined;
  const pool = new CompressorPool(() => module.createZstdCompress({ ...STREAM_OPTIONS, flush: END_FRAME }));
  return {
    compress: (data) => pool.compress(data),
    decompress: (frame, limit) =>
      new Promise((resolve, reject) => {
        const options = { chunkSize: limit + 512, maxOutputLength: limit + 1 };
        module.zstdDecompress(frame, options, (error, data) => (error ? reject(error) : resolve(data)));
      }),
  };
}

function hasZstd(module: object): module is NodeZstd {
  return (
    'createZstdCompress' in module &&
    typeof module.createZstdCompress === 'function' &&
    'zstdDecompress' in module &&
    typeof module.zstdDecompress === 'function'
  );
}

function fromPackage(): Zstd {
  const { Decoder, Encoder } = loadPackage();
  const encoder = new Encoder(LEVEL);
  const decoder = new Decoder();
  return {
    compress: (data) => encoder.encode(asBuffer(data)),
    decompress: (frame) => decoder.decode(asBuffer(frame)),
  };
}

function loadPackage(): typeof NodeZstdPackage {
  try {
    const { createRequire } = process.getBuiltinModule('node:module');
    return createRequire(import.meta.filename)('@toondepauw/node-zstd') as typeof NodeZstdPackage;
  } catch (cause) {
    throw new BlockError('zstd is not available: this Node has none and the package node-zstd cannot be loaded', {
      code: 'ENOTSUP',
      hint: 'Use Node 22.15 or newer, or install the package for this platform',
      cause,
    });
  }
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
