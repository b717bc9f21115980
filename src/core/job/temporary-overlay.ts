import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Backend } from '../block/backend/backend.ts';
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { operations } from '../block/graph/operations.ts';
import type { NodeSpec } from '../block/graph/spec.ts';
import { hostError } from '../host/index.ts';
import { createImage } from './create-image.ts';

export interface TemporaryOverlay {
  /** The overlay with the image below it. */
  readonly spec: NodeSpec;
  /** Remove the file. */
  dispose(): void;
}

/** A temporary qcow2 image that takes the writes meant for the image of `spec`. */
export async function makeTemporaryOverlay(graph: BlockGraph, spec: NodeSpec): Promise<TemporaryOverlay> {
  const size = await sizeOf(graph, spec);
  const folder = newFolder(process.env.TMPDIR ?? temporaryFolder());
  const dispose = (): void => fs.rmSync(folder, { recursive: true, force: true });
  try {
    const filename = path.join(folder, 'overlay.qcow2');
    await createImage(graph, { driver: 'qcow2', fileName: filename, options: { size } });
    return { spec: { driver: 'qcow2', file: { driver: 'file', filename }, backing: spec }, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

function newFolder(parent: string): string {
  try {
    return fs.mkdtempSync(path.join(parent, 'blockyard-overlay-'));
  } catch (error) {
    const hint = 'TMPDIR names the folder for temporary overlays';
    throw hostError('make a temporary overlay in', parent, error, { hint });
  }
}

/** What may grow large is better kept off a /tmp in memory. */
function temporaryFolder(): string {
  return process.platform === 'linux' && fs.existsSync('/var/tmp') ? '/var/tmp' : os.tmpdir();
}

async function sizeOf(graph: BlockGraph, spec: NodeSpec): Promise<number> {
  const backend = await Backend.open(graph, spec, {
    user: 'the overlay',
    permissions: operations.inspect.image,
    open: { modes: { readOnly: true } },
  });
  const { size } = backend;
  await backend.close();
  return size;
}
