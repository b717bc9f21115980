/**
 * Opening a node and all below it from a spec.
 *
 * The children in a driver's slots are opened first, so that a format can be probed from its file; then the
 * driver opens, asking for further children (backing, data file) that its header names. A failure at any
 * point closes what was opened, and the error says on which file it happened (`opening.ts`).
 */
import { asBlockError, BlockError } from '../../errors/block-error.ts';
import { validate } from '../../options/parse.ts';
import type { BlockGraph } from './block-graph.ts';
import { commonOptions, defaultModes, type InheritedModes, pickCommon, resolveModes } from './common-options.ts';
import type { Node } from './node.ts';
import { type Attempt, type Frame, Opening } from './opening.ts';
import type { NodeSpec } from './spec.ts';

export interface OpenSettings {
  /** Modes for whatever the spec does not say itself. */
  readonly modes?: Partial<InheritedModes>;
  /** Do not open the backing files that headers name. */
  readonly noBacking?: boolean;
}

/** Open `spec` in `graph`. The caller attaches to the node, or closes it with `graph.closeIfUnused`. */
export function openNode(graph: BlockGraph, spec: NodeSpec, settings: OpenSettings = {}): Promise<Node> {
  return open(spec, {
    graph,
    inherited: { ...defaultModes, ...settings.modes },
    noBacking: settings.noBacking ?? false,
    ancestors: [],
    plain: false,
    open,
  });
}

async function open(spec: NodeSpec, frame: Frame): Promise<Node> {
  const own = validate(commonOptions, pickCommon(spec), 'the node');
  const modes = resolveModes(own, frame.inherited);
  if (modes.forceShare && !modes.readOnly) {
    throw new BlockError('force-share=on can only be used with read-only images');
  }
  if (own['detect-zeroes'] === 'unmap' && !modes.unmap) {
    throw new BlockError('detect-zeroes=unmap needs discard=unmap');
  }
  const name = frame.graph.reserveName(own['node-name']);
  try {
    return await openReadOnlyIfNeeded({ spec, own, modes, name, frame });
  } finally {
    frame.graph.dropName(name);
  }
}

async function openReadOnlyIfNeeded(attempt: Attempt): Promise<Node> {
  try {
    return await new Opening(attempt).run();
  } catch (error) {
    const { code } = asBlockError(error);
    const retry = attempt.modes.autoReadOnly && !attempt.modes.readOnly && (code === 'EACCES' || code === 'EROFS');
    if (!retry) throw error;
    return new Opening({ ...attempt, modes: { ...attempt.modes, readOnly: true } }).run();
  }
}
