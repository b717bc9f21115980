/** Labels of a node below: giving one to the request of a command, telling when it is held and let go. */
import type { Maybe } from '../../core/async/maybe.ts';
import type { LabelCapability, LabelMatch, RequestKind } from '../../core/block/fault-control.ts';
import type { Node } from '../../core/block/graph/node.ts';
import { NotSupported } from '../../core/errors/block-error.ts';
import { findBelow } from './capability.ts';
import type { FlagSpecs, Words } from './flags.ts';
import type { Shell } from './shell.ts';

/** The usage lines of commands leave it out, since scripts compare those. */
export const labelFlag = {
  L: { value: 'name', help: 'Call the request by this name, for hold, release, fail and wait_label; see labels' },
} as const satisfies FlagSpecs;

/** What a command is about to ask for, in bytes. */
export interface LabelledRequest {
  readonly kind: RequestKind;
  readonly offset?: number;
  readonly length?: number;
}

/** The nearest labels; from now on what is held and released is printed. Throws NotSupported where no node has any. */
export function labelsOf(shell: Shell): LabelCapability {
  const labels = findBelow(shell.backend.image, (image) => image.labels);
  if (!labels) throw new NotSupported('no node of the image has labels');
  if (shell.watched.has(labels)) return labels;
  shell.watched.add(labels);
  labels.listen((what, name) => {
    const word = what === 'held' ? 'Holding' : 'Releasing';
    shell.inFlight.post(() => shell.print(`blkdebug: ${word} request '${name}'\n`));
  });
  return labels;
}

/**
 * What issues the request, under the name that `-L` says, if any. To be called right before it is issued: the
 * label is armed here, so that a name in use fails the command and not the request. A label that no request has
 * taken is taken back when `issue` is done, for it must not fall on another command's.
 */
export function labelled(
  shell: Shell,
  { flags }: Words,
  request: LabelledRequest,
  issue: () => Maybe<void>,
): () => Maybe<void> {
  const name = flags.get('L');
  if (name === undefined) return issue;
  const labels = labelsOf(shell);
  labels.arm(name, matchOf(shell.backend.image, request));
  const done = (): void => {
    if (labels.state(name) !== 'armed') return;
    labels.disarm(name);
    shell.inFlight.post(() => shell.print(`blkdebug: No request came that could be called '${name}'\n`));
  };
  return () => {
    let result: Maybe<void>;
    try {
      result = issue();
    } catch (error) {
      done();
      throw error;
    }
    if (result instanceof Promise) return result.finally(done);
    done();
  };
}

/** Offsets mean the same down to the labels as long as all that lies between are filters. */
function matchOf(top: Node, { kind, offset, length }: LabelledRequest): LabelMatch {
  if (offset === undefined || length === undefined || length === 0) return { kind };
  for (let node: Node | undefined = top; node; node = node.primary?.node) {
    if (node.image.labels) return { kind, offset, length };
    if (node.driver.kind !== 'filter') break;
  }
  return { kind };
}

/** Release everything that is held by a label, since nobody else could. False when nothing is. */
export function releaseAll(shell: Shell): boolean {
  if (!shell.opened) return false;
  const labels = findBelow(shell.backend.image, (image) => image.labels);
  const held = labels?.list().some(({ state }) => state === 'held') ?? false;
  labels?.letGo();
  return held;
}
