/**
 * Mending the reference counts of an image that was not closed cleanly, before anything of it is cached.
 *
 * The references are counted as a check does, and what differs is told and put right as a repair does: counts that are
 * missing by building the structure anew, which leaves the old one alone until the new one is stable, others in their
 * blocks. Where there is no room for new blocks the old ones are overwritten: the dirty bit stays set until all is done,
 * so a crash in between only means to begin again. Last, bit 63 of active entries is brought in line with the counts, and
 * the dirty bit is cleared.
 */
import { BlockError, CorruptImage } from '../../../core/errors/block-error.ts';
import { compareCounts } from '../check/compare-counts.ts';
import { checkCopiedFlags } from '../check/copied-flags.ts';
import { countReferences } from '../check/count-references.ts';
import type { RefcountTableCopy } from '../check/refcount-blocks.ts';
import { type CheckedImage, CheckState } from '../check/state.ts';
import { Incompatible } from '../meta/features.ts';
import { flagRepair } from './entries.ts';
import { clearIncompatible } from './header-bits.ts';
import { hasAllBlocks, overwriteCounts } from './overwrite-counts.ts';
import { rebuildCounts } from './rebuild-counts.ts';

/**
 * Repair `image`, whose file is open for writing, and clear its dirty bit; `image.header` follows. `report` is told of
 * what was wrong. Throws CorruptImage, with nothing changed and nothing told, where more than counts and flags is wrong.
 */
export async function repairDirtyImage(image: CheckedImage, report: (line: string) => void): Promise<void> {
  if (await mend(image, report, compareAndMend)) return;
  await mend(image, report, overwrite);
}

/** Puts the counts right; returns the table that then has them, or undefined where there is no room for it. */
type MendCounts = (state: CheckState, table: RefcountTableCopy) => Promise<RefcountTableCopy | undefined>;

async function mend(image: CheckedImage, report: (line: string) => void, counts: MendCounts): Promise<boolean> {
  let tell = (_line: string): void => undefined;
  const state = new CheckState(image, { report: (line) => tell(line) });
  const walk = await countReferences(state);
  const damage = walk.damage + state.result.checkErrors;
  if (damage > 0) {
    throw new CorruptImage(
      `'${image.fileName}' was not closed cleanly, and ${damage} errors in it are beyond the repair of reference counts`,
      { hint: 'Look at it with img check; it can still be opened read-only' },
    );
  }
  tell = report;
  const table = await counts(state, walk.table);
  if (!table) return false;
  await image.file.flush();
  const { l1, references } = walk;
  await checkCopiedFlags(state, { l1, references, table, unknown: new Set() }, flagRepair(state, walk));
  await image.file.flush();
  await clearIncompatible(image, Incompatible.DIRTY);
  return true;
}

async function compareAndMend(state: CheckState, table: RefcountTableCopy): Promise<RefcountTableCopy | undefined> {
  const isBroken = state.needsRebuild || !hasAllBlocks(state, table);
  await compareCounts(state, table, { keep: true });
  if (!isBroken && !state.needsRebuild) return overwrite(state, table);
  state.note('Rebuilding refcount structure');
  try {
    return await rebuildCounts(state, table, { from: 1 });
  } catch (error) {
    if (isBroken || !(error instanceof BlockError) || error.code !== 'ENOSPC') throw error;
  }
}

async function overwrite(state: CheckState, table: RefcountTableCopy): Promise<RefcountTableCopy> {
  await overwriteCounts(state, table, { beyondEnd: true, reporting: true });
  return table;
}
