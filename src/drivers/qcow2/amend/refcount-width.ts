/**
 * Counts of another width: built from nothing beside the old ones, as a repair does, and taken over by one write of the
 * header that changes place and width together. An open disk then has the old counts in memory: it is written to no more.
 */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { countReferences, type Walk } from '../check/count-references.ts';
import { CheckState } from '../check/state.ts';
import type { Disk } from '../disk.ts';
import { geometryOf } from '../meta/geometry.ts';
import type { Header } from '../meta/header.ts';
import { FreedSpace } from '../repair/freed-space.ts';
import { rebuildCounts } from '../repair/rebuild-counts.ts';
import type { Steps } from './index.ts';

/** Throws, with nothing changed, when some cluster has more references than a count of that width can hold. */
export async function assertCountsFit(
  disk: Disk,
  refcountOrder: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await count(disk, refcountOrder, signal);
}

export async function changeRefcountWidth(disk: Disk, refcountOrder: number, steps: Steps): Promise<void> {
  const { header } = disk;
  steps.expect(1);
  const { state, walk, widened } = await count(disk, refcountOrder, steps.signal);
  disk.retire('its reference counts have been given another width');
  const freed = new FreedSpace();
  await rebuildCounts(state, walk.table, { from: 1, freed });
  Object.assign(header, {
    refcountOrder,
    refcountTableOffset: widened.refcountTableOffset,
    refcountTableClusters: widened.refcountTableClusters,
  });
  await freed.discard(state);
  steps.advance(1);
}

interface Counted {
  readonly state: CheckState;
  readonly walk: Walk;
  /** The header as it will be. */
  readonly widened: Header;
}

/** All references, held against counts of that width. */
async function count(disk: Disk, refcountOrder: number, signal: AbortSignal | undefined): Promise<Counted> {
  const { fileName, header, parts, file } = disk;
  let first: string | undefined;
  const report = (line: string): void => {
    first ??= line;
  };
  const widened = { ...header, refcountOrder };
  const image = { fileName, header: widened, extensions: parts.extensions, geometry: geometryOf(widened), file };
  const state = new CheckState(image, { report, ...(signal ? { signal } : {}) });
  const walk = await countReferences(state);
  if (state.result.corruptions + state.result.checkErrors === 0) return { state, walk, widened };
  throw new CorruptImage(
    `the counts of '${fileName}' cannot be given ${2 ** refcountOrder} bits: ${first?.replace(/^ERROR /, '')}`,
    { hint: 'Where the image is damaged, repair it with img check -r all' },
  );
}
