/** Steps of the request path that a fault injector hears of; where none listens they cost one comparison. */
import { after, type Maybe } from '../../async/maybe.ts';
import type { Image } from '../driver.ts';
import type { BlockEvent } from '../events.ts';
import type { Edge } from '../graph/edge.ts';

/** Do `step` between the announcement of `event` and that of its end, which comes in any case. */
export function announced(image: Image, event: BlockEvent, step: () => Maybe<void>): Maybe<void> {
  return image.event === undefined ? step() : between(image, event, step);
}

async function between(image: Image, event: BlockEvent, step: () => Maybe<void>): Promise<void> {
  await image.event?.(event);
  try {
    await step();
  } finally {
    await image.event?.('pwritev_done');
  }
}

/** A node is about to flush: told to the child that holds its data. */
export function announceFlush(children: ReadonlyMap<string, Edge>): Maybe<void> {
  const edge = children.get('file') ?? children.values().next().value;
  if (edge?.node.image.event === undefined) return;
  return after(edge.event('flush_to_os'), () => edge.event('flush_to_disk'));
}
