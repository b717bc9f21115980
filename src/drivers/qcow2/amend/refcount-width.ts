/**
 * Counts of another width: built from nothing beside the old ones, as a repair does, and taken over by one write of the
 * header that changes place and width together. An open disk then has the old counts in memory: it is written to no more.
 */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { countReferences } from '../check/count-references.ts';
import { CheckState } from '../check/state.ts';
import type { Disk } from '../disk.ts';
import { geometryOf } from '../meta/geometry.ts';
import { FreedSpace } from '../repair/freed-space.ts';
import { rebuildCounts } from '../repair/rebuild-counts.ts';
import type { Steps } from './index.ts';

export async function changeRefcountWidth(disk: Disk, refcountOrder: number, steps: Steps): Promise<void> {
  const { fileName, header, parts, file } = disk;
  const lines: string[] = [];
  const report = (line: string): void => {
    if (lines.length === 0) lines.push(line);
  };
  const widened = { ...header, refcountOrder };
  const image = { fileName, header: widened, extensions: parts.extensions, geometry: geometryOf(widened), file };
  const state = new CheckState(image, { report, ...(steps.signal ? { signal: steps.signal } : {}) });
  steps.expect(1);
  const walk = await countReferences(state);
  const wrong = state.result.corruptions + state.result.checkErrors;
  if (wrong > 0) {
    throw new CorruptImage(
      `the counts of '${fileName}' cannot be given ${2 ** refcountOrder} bits: ${lines[0]?.replace(/^ERROR /, '')}`,
      { hint: 'Where the image is damaged, repair it with img check -r all' },
    );
  }
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
