/**
 * `quorum`: several images that should be equal, of which some may be wrong or fail. A request succeeds when
 * enough of them (`vote-threshold`) agree on how it ends, and on what is read; those that differ are reported and,
 * if so wished, put right. Here belongs the vote; where the images lie does not matter.
 */
import type { Driver, Image, OpenContext } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { QuorumImage } from './image.ts';
import { checkOptions, options, type QuorumOptions } from './options.ts';

async function open(context: OpenContext<QuorumOptions>): Promise<Image> {
  checkOptions(context.options);
  const children: Edge[] = [];
  for (const index of context.options.children.keys()) {
    const name = `children.${index}`;
    const edge = await context.openChild({ name, role: 'data' });
    if (!edge) throw new BlockError(`'${name}' of driver 'quorum' must not be null`);
    children.push(edge);
  }
  const sizes = new Set(children.map((edge) => edge.size));
  if (sizes.size > 1) {
    throw new BlockError(`the children of a quorum must be of one size, not ${[...sizes].join(' and ')} bytes`);
  }
  return new QuorumImage({
    children,
    threshold: context.options['vote-threshold'],
    strict: context.options.blkverify,
    rewrite: context.options['rewrite-corrupted'],
    fifo: context.options['read-pattern'] === 'fifo',
    name: context.nodeName,
    warn: (message) => context.warn(message),
    damaged: (damage) => context.damaged(damage),
  });
}

export const quorumDriver: Driver<QuorumOptions> = {
  name: 'quorum',
  kind: 'format',
  options,
  slots: [],
  strongOptions: ['vote-threshold', 'blkverify', 'rewrite-corrupted', 'read-pattern'],
  open,
};
