/**
 * Repairing an image: what `check -r` does.
 *
 * What belongs here: changing the metadata of an image that nobody uses, on the ground of what `check/` finds. What does
 * not: judging (that is `check/`), and guessing: an entry whose data cannot be where it says is reported and left alone.
 *
 * The order, with a flush between any two steps, is such that breaking off anywhere leaves an image that reads as before
 * and is no worse than it was:
 *   cut the snapshot table → mend entries → counts → other snapshot entries → copied flags → dirty and corrupt bits.
 * Entries come before counts, since a count may only fall when what it counted is gone; copied flags come after them,
 * since a flag may only be set when the count is 1.
 */
import type { CheckResult } from '../../../core/block/driver.ts';
import { BlockError } from '../../../core/errors/block-error.ts';
import { compareCounts } from '../check/compare-counts.ts';
import { checkCopiedFlags } from '../check/copied-flags.ts';
import { countReferences, type Walk } from '../check/count-references.ts';
import type { RefcountTableCopy } from '../check/refcount-blocks.ts';
import { type CheckedImage, type CheckReporting, CheckState } from '../check/state.ts';
import { Incompatible } from '../meta/features.ts';
import { canFixEntries, fixEntries, flagRepair } from './entries.ts';
import { FreedSpace } from './freed-space.ts';
import { clearIncompatible, clearUnknownAutoclear } from './header-bits.ts';
import { overwriteCounts } from './overwrite-counts.ts';
import { rebuildCounts } from './rebuild-counts.ts';
import { cutSnapshots, rewriteSnapshots } from './snapshot-table.ts';

export { DryRunFile } from './dry-run-file.ts';

export interface RepairOptions extends CheckReporting {
  /** Only what wastes space, or all that can be repaired. */
  readonly repair: 'leaks' | 'all';
}

/**
 * Repair an image whose file is open for writing; `image.header` follows. The result has what was found and not
 * repaired, and what was repaired; to be sure, check again.
 */
export async function repairImage(image: CheckedImage, options: RepairOptions): Promise<CheckResult> {
  const all = options.repair === 'all';
  const { state, walk } = await survey(image, options, all);
  const freed = new FreedSpace();
  await clearUnknownAutoclear(image);
  if (state.fixing) {
    await cutSnapshots(state, walk.snapshots);
    await fixEntries(state, walk);
  }
  // Where references may be missing, what looks free may be data: new structures then go behind the end of the file.
  const from = walk.damage > 0 ? state.clusters : 1;
  let table = await repairCounts(state, walk, { all, from, freed });
  if (state.fixing) table = await rewriteSnapshots(state, walk.snapshots, { table, from, freed });
  await image.file.flush();
  await repairFlags(state, walk, table, all);
  await image.file.flush();
  if (walk.damage === 0) await freed.discard(state);
  if (state.result.corruptions === 0 && state.result.checkErrors === 0) {
    await clearIncompatible(image, Incompatible.DIRTY | Incompatible.CORRUPT);
  }
  return state.result;
}

/** Count all references, of the entries as they will be where they can be mended. */
async function survey(
  image: CheckedImage,
  options: RepairOptions,
  all: boolean,
): Promise<{ state: CheckState; walk: Walk }> {
  const state = new CheckState(image, options, all);
  const walk = await countReferences(state);
  if (!all || canFixEntries(state, walk)) return { state, walk };
  options.report('Some tables share their place with other structures: their entries are left as they are');
  const careful = new CheckState(image, options, false);
  return { state: careful, walk: await countReferences(careful) };
}

interface CountRepair {
  readonly all: boolean;
  readonly from: number;
  readonly freed: FreedSpace;
}

/** Bring counts and references together; returns the refcount table that is now the image's. */
async function repairCounts(
  state: CheckState,
  walk: Walk,
  { all, from, freed }: CountRepair,
): Promise<RefcountTableCopy> {
  const { result } = state;
  const before = { corruptions: result.corruptions, checkErrors: result.checkErrors };
  await compareCounts(state, walk.table, { keep: true });
  if (state.needsRebuild) {
    if (!all) throw needsMore(state);
    state.note('Rebuilding refcount structure');
    const table = await rebuildCounts(state, walk.table, { from, freed });
    result.corruptionsFixed += result.corruptions - walk.damage;
    result.leaksFixed += result.leaks;
    Object.assign(result, { corruptions: walk.damage, leaks: 0, checkErrors: before.checkErrors });
    return table;
  }
  if (state.mismatched) {
    Object.assign(result, { corruptions: before.corruptions, leaks: 0 });
    await overwriteCounts(state, walk.table, { leaksOnly: !all, reporting: true, freed });
  }
  return walk.table;
}

function needsMore(state: CheckState): BlockError {
  state.note('ERROR need to rebuild refcount structures');
  return new BlockError(`'${state.image.fileName}': the reference counts have to be rebuilt to repair anything`, {
    code: 'EIO',
    hint: 'Use img check -r all',
  });
}

/** Flags follow the counts; where only leaks are to be repaired, only if nothing else is wrong. */
async function repairFlags(state: CheckState, walk: Walk, table: RefcountTableCopy, all: boolean): Promise<void> {
  const { corruptions, checkErrors, leaks } = state.result;
  const may = all || corruptions + checkErrors + leaks === 0;
  const { l1, references } = walk;
  const repair = may ? flagRepair(state, walk) : undefined;
  await checkCopiedFlags(state, { l1, references, table, unknown: new Set() }, repair);
}
