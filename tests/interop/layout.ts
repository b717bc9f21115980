/** The features of a qcow2 image that the interoperability tests combine, and which of them exclude each other. */
import { type Case, coveringCases } from '../support/covering.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

export const dimensions = {
  clusterSize: Array.from({ length: 13 }, (_, bits) => 512 * 2 ** bits),
  refcountBits: [1, 2, 4, 8, 16, 32, 64],
  compat: ['0.10', '1.1'],
  extendedL2: [false, true],
  compression: ['none', 'zlib', 'zstd'],
  /** How many backing files stand below. */
  depth: [0, 1, 2, 3],
  /** Length of each backing file against the image above it. */
  backingLength: ['same', 'shorter', 'longer'],
  preallocation: ['off', 'metadata', 'falloc', 'full'],
  dataFile: ['none', 'external', 'raw'],
  lazyRefcounts: [false, true],
} as const;

export type Layout = Case<typeof dimensions>;

/** Rules of the format and of its creation options; absent values break none. */
function valid(layout: Partial<Layout>): boolean {
  const { depth = 0, dataFile = 'none', compression = 'none', preallocation = 'off' } = layout;
  if (layout.compat === '0.10') {
    const needsV3 =
      (layout.refcountBits ?? 16) !== 16 || layout.extendedL2 || compression === 'zstd' || layout.lazyRefcounts;
    if (needsV3 || dataFile !== 'none') return false;
  }
  if (layout.extendedL2 && (layout.clusterSize ?? MIB) < 16 * KIB) return false;
  if (compression !== 'none' && (dataFile !== 'none' || preallocation !== 'off')) return false;
  // A preallocated cluster hides the backing file unless its subclusters say otherwise.
  if (depth > 0 && preallocation !== 'off' && layout.extendedL2 === false) return false;
  return depth === 0 || dataFile !== 'raw';
}

/**
 * Every pair of features at least once; every triple with BLOCKYARD_FULL_MATRIX=1, which takes some minutes.
 * The whole product would be some hundred thousand images.
 */
export function layouts(): Layout[] {
  const strength = process.env.BLOCKYARD_FULL_MATRIX === '1' ? 3 : 2;
  return coveringCases(dimensions, { valid, strength, seed: 1 });
}

/** For the names of tests. */
export function describeLayout(layout: Layout): string {
  const words = [`cluster ${layout.clusterSize}`, `v${layout.compat === '0.10' ? 2 : 3}`];
  if (layout.refcountBits !== 16) words.push(`refcount ${layout.refcountBits}`);
  if (layout.extendedL2) words.push('subclusters');
  if (layout.compression !== 'none') words.push(layout.compression);
  if (layout.depth > 0) words.push(`${layout.depth} backing ${layout.backingLength}`);
  if (layout.preallocation !== 'off') words.push(`preallocation ${layout.preallocation}`);
  if (layout.dataFile !== 'none') words.push(`data file ${layout.dataFile}`);
  if (layout.lazyRefcounts) words.push('lazy refcounts');
  return words.join(', ');
}

/** The value of `-o`. `dataFile` is the data file's path, where there is to be one. */
export function creationOptions(layout: Layout, dataFile: string): string {
  const list = [`cluster_size=${layout.clusterSize}`, `compat=${layout.compat}`];
  if (layout.refcountBits !== 16) list.push(`refcount_bits=${layout.refcountBits}`);
  if (layout.extendedL2) list.push('extended_l2=on');
  if (layout.compression === 'zstd') list.push('compression_type=zstd');
  if (layout.preallocation !== 'off') list.push(`preallocation=${layout.preallocation}`);
  if (layout.dataFile !== 'none') list.push(`data_file=${dataFile}`);
  if (layout.dataFile === 'raw') list.push('data_file_raw=on');
  if (layout.lazyRefcounts) list.push('lazy_refcounts=on');
  return list.join(',');
}
