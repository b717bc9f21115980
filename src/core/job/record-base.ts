/** Recording in an image what its backing file is like now, so that a later change of it is seen. */
import { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { resolveName } from '../block/graph/file-name.ts';
import { fingerprintOf } from '../block/graph/fingerprint.ts';
import { operations } from '../block/graph/operations.ts';
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
      open: { noBacking: true, modes: { noFlush } },
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
