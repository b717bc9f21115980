import type { Node } from '../graph/node.ts';
import { DirtyTracker } from './tracker.ts';

/** Record what changes on `node` from now on, in granules of `granularity` bytes; until `dispose`. */
export function trackWrites(node: Node, granularity: number): DirtyTracker {
  return new DirtyTracker(node.io.bitmaps, granularity);
}
