/** The first half of a check and of a repair: walk all metadata and count the references to every cluster. */
import { decodeCryptoExtension, ExtensionType, findExtension } from '../meta/extensions.ts';
import { Limit } from '../meta/limits.ts';
import {
  type CutOff,
  decodeSnapshotTable,
  isIncomplete,
  removeOverhanging,
  SALVAGE_BYTES,
  type SnapshotSalvage,
  type SnapshotTable,
} from '../meta/snapshot-table.ts';
import { checkBitmaps } from './bitmaps.ts';
import { checkL1, type L2References, noL2References, snapshotL1Places } from './l1.ts';
import { forEachL2, L2Check } from './l2.ts';
import { checkRefcountBlocks, type RefcountTableCopy, readRefcountTable } from './refcount-blocks.ts';
import type { CheckState } from './state.ts';

export interface Walk {
  readonly snapshots: FoundSnapshots;
  /** The active L1 table. */
  readonly l1: Uint8Array;
  readonly references: L2References;
  readonly table: RefcountTableCopy;
  /** Corruptions found in anything but the refcount structures. */
  readonly damage: number;
}

export async function countReferences(state: CheckState): Promise<Walk> {
  const { header, extensions, fileName } = state.image;
  const { clusterSize } = state.geometry;
  const snapshots = await readSnapshots(state);
  state.refer(0, clusterSize);

  const references = noL2References();
  const active = { offset: header.l1TableOffset, entries: header.l1Size, times: 1, active: true };
  const l1 = await checkL1(state, active, references);
  if (state.dataFile && header.nbSnapshots > 0) {
    state.corrupt(`${header.nbSnapshots} snapshots in an image with a data file`);
  }
  for (const place of snapshotL1Places(state, snapshots.snapshots)) await checkL1(state, place, references);
  const l2 = new L2Check(state);
  await forEachL2(state, references, 'all', (table) => l2.table(table));

  state.refer(header.snapshotsOffset, snapshots.byteLength);
  const crypto = findExtension(extensions, ExtensionType.CRYPTO);
  if (crypto) {
    const { offset, length } = decodeCryptoExtension(crypto, clusterSize, fileName);
    if (length > Limit.MAX_ENCRYPTION_HEADER_BYTES) {
      state.corrupt(`the encryption header has ${length} bytes, the limit is ${Limit.MAX_ENCRYPTION_HEADER_BYTES}`);
    } else state.refer(offset, length);
  }
  await checkBitmaps(state);
  const damage = state.result.corruptions;
  const table = await readRefcountTable(state);
  checkRefcountBlocks(state, table);
  return { snapshots, l1, references, table, damage };
}

/** The snapshot table, and what is wrong with it where that can be put right. */
export interface FoundSnapshots extends SnapshotTable, SnapshotSalvage {
  /** Entries without the extra data that version 3 requires. */
  readonly incomplete: readonly number[];
}

/** The snapshot table as it lies on disk. Throws CorruptImage for one that cannot be read. */
async function readSnapshots(state: CheckState): Promise<FoundSnapshots> {
  const { header, file, fileName } = state.image;
  const none = { cut: [], overhanging: 0, incomplete: [] };
  if (header.nbSnapshots === 0) return { snapshots: [], byteLength: 0, ...none };
  if (header.nbSnapshots > Limit.MAX_SNAPSHOTS && !state.fixing) {
    throw state.unusable(
      `nb_snapshots is ${header.nbSnapshots}, the limit is ${Limit.MAX_SNAPSHOTS}`,
      removeOverhanging(header.nbSnapshots - Limit.MAX_SNAPSHOTS),
    );
  }
  const count = Math.min(header.nbSnapshots, Limit.MAX_SNAPSHOTS);
  const left = Math.max(0, Math.min(SALVAGE_BYTES, state.fileSize - header.snapshotsOffset));
  for (let size = Math.min(left, 65536); ; ) {
    const bytes = new Uint8Array(size);
    await file.read(header.snapshotsOffset, bytes);
    const salvage: SnapshotSalvage = { cut: [], overhanging: 0 };
    const table = decodeSnapshotTable(bytes, count, fileName, state.fixing ? salvage : undefined);
    if ('snapshots' in table) {
      if (state.fixing) announceCuts(state, salvage, header.nbSnapshots - count);
      const overhanging = salvage.overhanging + header.nbSnapshots - count;
      return { ...table, ...salvage, overhanging, incomplete: checkExtraData(state, table) };
    }
    size = growBuffer(state, table, { size, left });
  }
}

function announceCuts(state: CheckState, { cut, overhanging }: SnapshotSalvage, tooMany: number): void {
  for (const { index, extraLength } of cut) {
    const excess = `${extraLength} > ${Limit.MAX_SNAPSHOT_EXTRA_BYTES}`;
    state.note(`Discarding too much extra metadata in snapshot table entry ${index} (${excess})`);
  }
  if (tooMany > 0) state.note(`Discarding ${tooMany} overhanging snapshots`);
  if (overhanging > 0) state.note(`Discarding ${overhanging} overhanging snapshots (snapshot table is too big)`);
}

/** In a repair, what an entry has past the end of the file reads as zeroes: most likely its length is what is wrong. */
function growBuffer(
  state: CheckState,
  { moreNeeded, fixedEnd }: CutOff,
  { size, left }: { size: number; left: number },
): number {
  const most = state.fixing && fixedEnd <= left ? SALVAGE_BYTES : left;
  if (size < most) return Math.min(most, Math.max(moreNeeded, size * 4));
  throw state.unusable(`the snapshot table needs ${moreNeeded} bytes, the file has ${left} left for it`);
}

/** Indices of entries that lack data; reported here, unless they are going to be completed. */
function checkExtraData(state: CheckState, { snapshots }: SnapshotTable): number[] {
  const incomplete = [...snapshots.keys()].filter((index) => isIncomplete(state.geometry.version, snapshots[index]));
  if (state.fixing) return incomplete;
  for (const index of incomplete) state.corrupt(`snapshot table entry ${index} is incomplete`);
  return incomplete;
}
