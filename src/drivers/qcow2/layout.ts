/**
 * Where everything lies in an image that is laid out in one go:
 *
 *   header | refcount table | refcount blocks | L1 table | header of the encryption | L2 tables | data
 *
 * All counts are clusters. L2 tables and data are there only where they are preallocated.
 */
import { alignUp } from '../../core/bytes/ranges.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { clustersFor, type Geometry, l1EntriesFor } from './meta/geometry.ts';
import { Limit } from './meta/limits.ts';

export interface Layout {
  readonly refcountTableClusters: number;
  readonly refcountBlocks: number;
  readonly l1Entries: number;
  readonly l1Clusters: number;
  readonly l2Tables: number;
  readonly dataClusters: number;
  /** First cluster of each part. */
  readonly refcountTableAt: number;
  readonly refcountBlocksAt: number;
  readonly l1At: number;
  readonly cryptoAt: number;
  readonly l2At: number;
  readonly dataAt: number;
  /** Clusters of the whole file. */
  readonly total: number;
}

export interface Needs {
  /** Length of the disk in bytes. */
  readonly size: number;
  /** Every cluster of the disk gets its L2 entry. */
  readonly mapped: boolean;
  /** The data clusters lie in this file. */
  readonly ownData: boolean;
  /** Clusters of the header of an encryption; default none. */
  readonly cryptoClusters?: number;
}

export function layOut(geometry: Geometry, needs: Needs): Layout {
  const l1Entries = l1EntriesFor(geometry, needs.size);
  const l1Clusters = clustersFor(geometry, l1Entries * 8);
  const l2Tables = needs.mapped ? l1Entries : 0;
  const dataClusters = needs.mapped && needs.ownData ? clustersFor(geometry, needs.size) : 0;
  const crypto = needs.cryptoClusters ?? 0;
  const counted = 1 + l1Clusters + crypto + l2Tables + dataClusters;
  const { table, blocks } = refcountClusters(geometry, counted);
  const tableLimit = Limit.MAX_REFCOUNT_TABLE_BYTES / geometry.clusterSize;
  if (table > tableLimit) {
    throw new BlockError(
      `the reference counts of ${counted} clusters need a table of ${table} clusters, the limit is ${tableLimit}`,
      { code: 'EFBIG', hint: 'Try a larger cluster size' },
    );
  }
  const l1At = 1 + table + blocks;
  const cryptoAt = l1At + l1Clusters;
  const l2At = cryptoAt + crypto;
  return {
    refcountTableClusters: table,
    refcountBlocks: blocks,
    l1Entries,
    l1Clusters,
    l2Tables,
    dataClusters,
    refcountTableAt: 1,
    refcountBlocksAt: 1 + table,
    l1At,
    cryptoAt,
    l2At,
    dataAt: l2At + l2Tables,
    total: l2At + l2Tables + dataClusters,
  };
}

/** Clusters that the counts of `counted` clusters take, and of themselves: they are counted too. */
export function refcountClusters(geometry: Geometry, counted: number): { table: number; blocks: number } {
  const entriesPerTableCluster = geometry.clusterSize / 8;
  let table = 0;
  let blocks = 0;
  for (let before = -1; before !== table + blocks; ) {
    before = table + blocks;
    blocks = Math.ceil((counted + before) / geometry.refcountBlockEntries);
    table = Math.ceil(blocks / entriesPerTableCluster);
  }
  return { table, blocks };
}

/** Bytes of an image of which every cluster is allocated, with tables counted in whole clusters. */
export function fullyAllocatedSize(geometry: Geometry, size: number): number {
  const { clusterSize } = geometry;
  const data = alignUp(size, clusterSize);
  const l2 = alignUp((data / clusterSize) * geometry.l2EntrySize, clusterSize);
  const l1 = alignUp((l2 / clusterSize) * 8, clusterSize);
  const counted = clusterSize + l2 + l1 + data;
  const { table, blocks } = refcountClusters(geometry, counted / clusterSize);
  return counted + (table + blocks) * clusterSize;
}
