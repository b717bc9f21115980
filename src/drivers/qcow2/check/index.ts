/**
 * Checking an image: every reference to every cluster is counted from the metadata on disk, and compared with
 * the counts on disk; on the way each field is held against what it may be. Findings are lines and counters.
 *
 * What belongs here: reading and judging. What does not: changing anything (`../repair/` builds on the counts
 * found here). Snapshots often share tables: each L2 table is read once, whatever leads to it, and what is
 * found in it counts as often as it is reached, so the counters are those of a walk along every path.
 */
import type { CheckResult } from '../../../core/block/driver.ts';
import { compareCounts } from './compare-counts.ts';
import { checkCopiedFlags } from './copied-flags.ts';
import { countReferences } from './count-references.ts';
import { type CheckedImage, type CheckReporting, CheckState } from './state.ts';

export { type CheckedImage, type CheckReporting, CheckState } from './state.ts';

/** Check what lies on disk; an image open for writing must have written its metadata out before. */
export async function checkImage(image: CheckedImage, options: CheckReporting): Promise<CheckResult> {
  const state = new CheckState(image, options);
  const { l1, references, table } = await countReferences(state);
  const unknown = await compareCounts(state, table);
  // Where every flag is set, every cluster has one reference, and the counts say so, there is nothing to find.
  const allSingle = !state.counts.shared && !state.mismatched && state.beyond.size === 0;
  if (state.uncopied || !allSingle) {
    await checkCopiedFlags(state, { l1, references, table, unknown });
  }
  return state.result;
}
