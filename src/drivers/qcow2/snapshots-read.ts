/** Reading the snapshot table, whose length is known only at its end. */
import type { Edge } from '../../core/block/graph/edge.ts';
import { CorruptImage } from '../../core/errors/block-error.ts';
import type { Header } from './meta/header.ts';
import { Limit } from './meta/limits.ts';
import { decodeSnapshotTable, type Snapshot } from './meta/snapshot-table.ts';

const FIRST_READ_PER_ENTRY = 128;

/**
 * All snapshots of the image. Memory is bounded by the table's limit. What lies past the end of the file reads as zeroes,
 * as it does everywhere in the format: an image that was cut off still shows what it has left.
 */
export async function readSnapshots(file: Edge, header: Header, fileName: string): Promise<Snapshot[]> {
  if (header.nbSnapshots === 0) return [];
  const available = Math.max(0, file.size - header.snapshotsOffset);
  let length = Math.min(Limit.MAX_SNAPSHOT_TABLE_BYTES, header.nbSnapshots * FIRST_READ_PER_ENTRY);
  for (;;) {
    const bytes = new Uint8Array(length);
    const there = bytes.subarray(0, available);
    if (there.length > 0) await file.read(header.snapshotsOffset, there);
    const table = decodeSnapshotTable(bytes, header.nbSnapshots, fileName);
    if ('snapshots' in table) return table.snapshots;
    if (length >= Limit.MAX_SNAPSHOT_TABLE_BYTES) {
      throw new CorruptImage(
        `'${fileName}': the snapshot table at ${header.snapshotsOffset} needs ${table.moreNeeded} bytes, the limit is ${length}`,
      );
    }
    length = Math.min(Limit.MAX_SNAPSHOT_TABLE_BYTES, Math.max(table.moreNeeded, length * 2));
  }
}
