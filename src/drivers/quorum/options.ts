/** Options of quorum, and what they may not be together. */
import { Usage } from '../../core/errors/block-error.ts';
import { bool, choice, defineOptions, integer, list, nodeRef, type OptionsOf } from '../../core/options/fields.ts';

export const options = defineOptions({
  children: list(nodeRef({ help: 'A child', required: true }), { help: 'Images that should be equal', required: true }),
  'vote-threshold': integer({ help: 'Children that must agree', required: true, min: 1 }),
  blkverify: bool({ help: 'Two children only, which must never differ', default: false }),
  'rewrite-corrupted': bool({ help: 'Write what was agreed on to children that differ', default: false }),
  'read-pattern': choice(['quorum', 'fifo'], {
    help: 'Read all children and vote, or read the first that can be read',
    default: 'quorum',
  }),
});

export type QuorumOptions = OptionsOf<typeof options>;

/** @throws Usage */
export function checkOptions(given: QuorumOptions): void {
  const count = given.children.length;
  const threshold = given['vote-threshold'];
  if (count === 0) throw new Usage("driver 'quorum' needs at least one of 'children'");
  if (threshold > count) throw new Usage(`vote-threshold ${threshold} is more than there are children (${count})`);
  const fifo = given['read-pattern'] === 'fifo';
  if (given.blkverify && (count !== 2 || threshold !== 2)) {
    throw new Usage(`blkverify=on needs two children and vote-threshold=2, not ${count} and ${threshold}`);
  }
  if (given.blkverify && fifo) throw new Usage('blkverify=on needs read-pattern=quorum');
  if (given['rewrite-corrupted'] && (given.blkverify || fifo)) {
    throw new Usage(`rewrite-corrupted=on cannot be combined with ${fifo ? 'read-pattern=fifo' : 'blkverify=on'}`);
  }
}
