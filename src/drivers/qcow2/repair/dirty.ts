/**
 * Mending the reference counts of an image that was not closed cleanly, before anything of it is cached.
 *
 * The references are counted as a check does. Where every block that is needed is in place, blocks that differ
 * are overwritten: the dirty bit stays set until all is done, so a crash in between only means to begin again.
 * Otherwise the counts are built from nothing. Last, bit 63 of active entries is brought in line with the counts,
 * and the dirty bit is cleared.
 */
import { CorruptImage } from '../../../core/errors/block-error.ts';
import { checkCopiedFlags } from '../check/copied-flags.ts';
import { countReferences } from '../check/count-references.ts';
import { type CheckedImage, CheckState } from '../check/state.ts';
import { Incompatible } from '../meta/features.ts';
import { flagRepair } from './entries.ts';
import { clearIncompatible } from './header-bits.ts';
import { hasAllBlocks, overwriteCounts } from './overwrite-counts.ts';
import { rebuildCounts } from './rebuild-counts.ts';

/**
 * Repair `image`, whose file is open for writing, and clear its dirty bit; `image.header` follows. True when counts
 * had to be changed. Throws CorruptImage, with nothing changed, where more than counts and flags is wrong.
 */
export async function repairDirtyImage(image: CheckedImage): Promise<boolean> {
  const state = new CheckState(image, { report: () => undefined });
  const walk = await countReferences(state);
  const damage = walk.damage + state.result.checkErrors;
  if (damage > 0) {
    throw new CorruptImage(
      `'${image.fileName}' was not closed cleanly, and ${damage} errors in it are beyond the repair of reference counts`,
      { hint: 'Look at it with img check; it can still be opened read-only' },
    );
  }
  let changed = true;
  let { table } = walk;
  if (state.needsRebuild || !hasAllBlocks(state, table)) {
    table = await rebuildCounts(state, table, { from: 1 });
  } else {
    changed = (await overwriteCounts(state, table, { beyondEnd: true })) > 0;
    await image.file.flush();
  }
  const { l1, references } = walk;
  await checkCopiedFlags(state, { l1, references, table, unknown: new Set() }, flagRepair(state, walk));
  await image.file.flush();
  await clearIncompatible(image, Incompatible.DIRTY);
  return changed;
}
