/** Reading the snapshot table, whose length is known only at its end. */
import type { Edge } from '../../core/block/graph/edge.ts';
import { CorruptImage } from '../../core/errors/block-error.ts';
import type { Header } from './meta/header.ts';
import { Limit } from './meta/limits.ts';
import { decodeSnapshotTable, type Snapshot } from './meta/snapshot-table.ts';

const FIRST_READ_PER_ENTRY = 128;

/** All snapshots of the image. Memory is bounded by the table's limit and by the end of the file. */
export async function readSnapshots(file: Edge, header: Header, fileName: string): Promise<Snapshot[]> {
  if (header.nbSnapshots === 0) return [];
  const available = Math.min(Math.max(0, file.size - header.snapshotsOffset), Limit.MAX_SNAPSHOT_TABLE_BYTES);
  let length = Math.min(available, header.nbSnapshots * FIRST_READ_PER_ENTRY);
  for (;;) {
    const bytes = new Uint8Array(length);
    await file.read(header.snapshotsOffset, bytes);
    const table = decodeSnapshotTable(bytes, header.nbSnapshots, fileName);
    if ('snapshots' in table) return table.snapshots;
    if (length >= available) {
      throw new CorruptImage(
        `'${fileName}': the snapshot table at ${header.snapshotsOffset} needs ${table.moreNeeded} bytes, ${available} are there`,
      );
    }
    length = Math.min(available, Math.max(table.moreNeeded, length * 2));
  }
}
