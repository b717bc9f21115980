/** Copies of the bitmaps of one image in another, as `convert --bitmaps` makes them. */
import { addBitmap, mergeBitmaps, type NamedBitmap, removeBitmap } from '../block/bitmaps/index.ts';
import type { Node } from '../block/graph/node.ts';
import { BlockError, NotSupported, withContext } from '../errors/block-error.ts';

/** What is done about bitmaps that are inconsistent: nothing is copied at all, or they are left out. */
export type BrokenBitmaps = 'refuse' | 'skip';

/** Below filters, the node that has bitmaps of its own, or could. */
export function bitmapNode(top: Node): Node {
  let node = top;
  for (let next = node.passedOn; next && node.io.bitmaps.count === 0; next = node.passedOn) node = next.node;
  return node;
}

/** The bitmaps kept in the image of `node`; throws where it can have none, or where one is broken. */
export function keptBitmaps(node: Node, broken: BrokenBitmaps): readonly NamedBitmap[] {
  if (!node.image.bitmaps) throw cannotKeep(node);
  const list = [...node.io.bitmaps.named].filter((bitmap) => bitmap.persistent);
  const bad = list.find((bitmap) => bitmap.inconsistent);
  if (bad && broken === 'refuse') {
    throw new BlockError(`bitmap '${bad.name}' of '${node.fileName}' is inconsistent and cannot be copied`, {
      hint: 'Leave such bitmaps out with --skip-broken-bitmaps, or remove it with img bitmap --remove',
    });
  }
  return list;
}

function cannotKeep(node: Node): NotSupported {
  return new NotSupported(`format '${node.driver.name}' of '${node.fileName}' cannot keep bitmaps`);
}

/** Throws what copying would for want of room or of a free name, for those who copy the disk first. */
export function assertBitmapsFit(from: Node, to: Node, broken: BrokenBitmaps): void {
  if (!to.image.bitmaps) throw cannotKeep(to);
  for (const { name, granularity, inconsistent } of keptBitmaps(from, broken)) {
    if (inconsistent) continue;
    try {
      to.io.bitmaps.assertRoom(name, granularity, true);
    } catch (error) {
      throw withContext(`bitmap '${name}' cannot be copied to '${to.fileName}'`, error);
    }
  }
}

/** Make the bitmaps of `from` in `to`; one that cannot be copied as a whole is not left there in part. */
export async function copyBitmaps(
  from: Node,
  to: Node,
  options: { readonly broken: BrokenBitmaps; warn(message: string): void },
): Promise<void> {
  if (!to.image.bitmaps) throw cannotKeep(to);
  for (const { name, granularity, recording, inconsistent } of keptBitmaps(from, options.broken)) {
    if (inconsistent) {
      options.warn(`bitmap '${name}' is inconsistent and left out`);
      continue;
    }
    await addBitmap(to, name, { granularity, persistent: true, recording });
    try {
      await mergeBitmaps(to, name, [{ node: from, name }]);
    } catch (error) {
      await removeBitmap(to, name);
      throw error;
    }
  }
}
