/** Images that a command makes, or finds, by a file name: targets of mirrors, overlays of snapshots. */
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { displayName } from '../block/graph/file-name.ts';
import type { Node } from '../block/graph/node.ts';
import { openNode } from '../block/graph/open.ts';
import { specFromFileName } from '../block/graph/spec.ts';
import { createImage } from '../job/create-image.ts';
import { belowTop, type SyncMode } from '../job/mirror-job.ts';

export interface TargetRequest {
  readonly fileName: string;
  readonly format: string | undefined;
  readonly nodeName: string | undefined;
  /** Make the file; else it is there. */
  readonly make: boolean;
  readonly sync: SyncMode;
}

/** The open target of a mirror; the caller closes it when nothing comes of that. */
export async function mirrorTarget(graph: BlockGraph, source: Node, request: TargetRequest): Promise<Node> {
  const format = request.format ?? unfiltered(source).driver.name;
  const backing = request.sync === 'none' ? source : request.sync === 'top' ? belowTop(source) : undefined;
  if (request.make) await make(graph, { ...request, format }, source.io.size, backing);
  return open(graph, { ...request, format });
}

export interface OverlayRequest {
  readonly fileName: string;
  readonly format: string;
  readonly nodeName: string | undefined;
  readonly make: boolean;
}

/** The open overlay for a snapshot of `node`, without its backing file yet. */
export async function overlayFor(graph: BlockGraph, node: Node, request: OverlayRequest): Promise<Node> {
  if (request.make) await make(graph, request, node.io.size, node);
  return open(graph, request);
}

async function make(
  graph: BlockGraph,
  { fileName, format }: { readonly fileName: string; readonly format: string },
  size: number,
  backing: Node | undefined,
): Promise<void> {
  const below = backing && { backing_file: displayName(backing), backing_fmt: unfiltered(backing).driver.name };
  await createImage(graph, { driver: format, fileName, options: { size, ...below } });
}

/** What stands below is put there by the graph: the image must not open it once more. */
async function open(
  graph: BlockGraph,
  {
    fileName,
    format,
    nodeName,
  }: { readonly fileName: string; readonly format: string; readonly nodeName: string | undefined },
): Promise<Node> {
  const spec = specFromFileName(graph.settings.drivers, fileName, format);
  const named = nodeName === undefined ? {} : { 'node-name': nodeName };
  return openNode(graph, { ...spec, ...named }, { noBacking: true, modes: { unmap: true } });
}

function unfiltered(node: Node): Node {
  let at = node;
  for (let next = at.passedOn; next; next = at.passedOn) at = next.node;
  return at;
}
