/** Recording in an image what its backing file is like now, so that a later change of it is seen. */
import { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { resolveName } from '../block/graph/file-name.ts';
import { fingerprintOf } from '../block/graph/fingerprint.ts';
import type { Node } from '../block/graph/node.ts';
import { realName } from '../block/graph/opening.ts';
import { operations } from '../block/graph/operations.ts';
import { changeModes } from '../block/graph/reopen.ts';
import { type NodeSpec, specFromFileName } from '../block/graph/spec.ts';

/**
 * Have the image of `spec`, which nobody uses, record the fingerprint of its backing file. It is a courtesy: nothing
 * happens where the format has no place for it, the base is no file, or either cannot be opened.
 */
export async function recordBase(graph: BlockGraph, spec: NodeSpec, noFlush = false): Promise<void> {
  try {
    await using image = await Backend.open(graph, spec, {
      user: 'the recording of a base',
      permissions: operations.inspect.image,
      // Only the header is touched: what is wrong with the rest waits for somebody who uses the image.
      open: { noBacking: true, modes: { noFlush, forRepair: true } },
    });
    const { fileName } = image.image;
    const { backing } = image.image.image;
    if (!backing?.record || backing.fileName === undefined) return;
    const generation = await generationOf(graph, resolveName(fileName, backing.fileName), backing.format);
    await backing.record(fingerprintOf(fileName, backing.fileName, generation));
  } catch {
    // The image is what it is without.
  }
}

/**
 * The same for an overlay in use, whose backing file `base` has only now become one: nobody writes to it any more, and
 * what it has not written out yet must not look like a change later on. Nothing where the header names another file.
 */
export async function recordBaseInUse(graph: BlockGraph, overlay: Node, base: Node): Promise<void> {
  const { backing } = overlay.image;
  const { layer } = base;
  if (!backing?.record || backing.fileName === undefined || overlay.modes.readOnly) return;
  try {
    if (realName(resolveName(overlay.fileName, backing.fileName)) !== realName(layer.fileName)) return;
    await layer.io.bitmaps.save();
    await layer.entry.flush();
    // Reopened as it is: counts that lag behind are written, too.
    const same = () => [{ node: layer, readOnly: layer.modes.readOnly, own: layer.own }];
    await changeModes(graph, { touched: () => [layer], changes: same });
    await backing.record(fingerprintOf(overlay.fileName, backing.fileName, layer.image.generation?.value));
  } catch {
    // As above.
  }
}

async function generationOf(
  graph: BlockGraph,
  name: string,
  format: string | undefined,
): Promise<Uint8Array | undefined> {
  await using base = await Backend.open(graph, specFromFileName(graph.settings.drivers, name, format), {
    user: 'a look at a base',
    permissions: operations.inspect.image,
    open: { noBacking: true, modes: { readOnly: true, forceShare: true, noIo: true } },
  });
  return base.image.image.generation?.value;
}
