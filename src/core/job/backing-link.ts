/** What images say in their headers of the image below them, when a job puts another one there. */
import { displayName } from '../block/graph/file-name.ts';
import type { Node } from '../block/graph/node.ts';
import { BlockError, withContext } from '../errors/block-error.ts';

/** The images for which `node` is the backing file, filters in between not counted. */
export function overlaysOf(node: Node): Node[] {
  const overlays: Node[] = [];
  const seen = new Set<Node>([node]);
  for (const each of seen) {
    for (const { parent, name } of each.parents) {
      if (!parent.node) continue;
      if (name === 'backing') overlays.push(parent.node);
      else if (parent.node.passedOn?.node === each) seen.add(parent.node);
    }
  }
  return overlays;
}

/** Throws for an image whose header cannot be changed: a job must not find that out at its end. */
export function assertRenamable(overlay: Node): void {
  if (!overlay.image.backing?.change) {
    throw new BlockError(`node '${overlay.name}' of driver '${overlay.driver.name}' cannot name another backing file`, {
      code: 'ENOTSUP',
    });
  }
}

export interface BackingText {
  /** What to say; default the name of the node. */
  readonly text?: string | undefined;
  /** Of a layer without a format say that it is raw, rather than which protocol it is read by. */
  readonly maskProtocol?: boolean | undefined;
}

/**
 * Have the header of `overlay` name `base` (undefined: none), as `text` where it is given. What is in `base` must be
 * stable already: from here on nobody looks elsewhere for it.
 */
export async function nameBacking(
  overlay: Node,
  base: Node | undefined,
  { text, maskProtocol = false }: BackingText,
): Promise<void> {
  const name = base === undefined ? undefined : (text ?? displayName(base));
  const { backingOverridden } = overlay;
  // From here on the header says what the graph is about to be.
  overlay.backingOverridden = false;
  try {
    await overlay.image.backing?.change?.(name, base && formatOf(base, maskProtocol));
  } catch (error) {
    overlay.backingOverridden = backingOverridden;
    throw withContext(`the backing file of '${overlay.fileName}' could not be changed`, error);
  }
}

/** The format to open a layer by: that of the image below filters, which have none. */
function formatOf({ layer: { driver } }: Node, maskProtocol: boolean): string {
  return maskProtocol && driver.kind === 'protocol' ? 'raw' : driver.name;
}
