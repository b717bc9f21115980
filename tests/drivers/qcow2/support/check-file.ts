/** The check of an image without opening it: what the header says, and the file. */
import fs from 'node:fs';
import type { CheckResult } from '../../../../src/core/block/driver.ts';
import { openNode } from '../../../../src/core/block/graph/open.ts';
import { Perm } from '../../../../src/core/block/permissions-bits.ts';
import type { CheckedImage } from '../../../../src/drivers/qcow2/check/index.ts';
import { decodeExtensions } from '../../../../src/drivers/qcow2/meta/extensions.ts';
import { geometryOf } from '../../../../src/drivers/qcow2/meta/geometry.ts';
import { decodeHeader, validateHeader } from '../../../../src/drivers/qcow2/meta/header.ts';
import { fileEdge, newGraph } from './host-edge.ts';

export interface FileCheck {
  readonly result: CheckResult;
  readonly lines: readonly string[];
}

/** Header and extensions as a driver finds them, with the file as an edge. */
export async function openChecked(
  path: string,
  mode: 'read' | 'write' = 'read',
): Promise<{ image: CheckedImage; release: () => Promise<void> }> {
  const fd = fs.openSync(path, 'r');
  const head = Buffer.alloc(2 * 1024 * 1024);
  const length = fs.readSync(fd, head, 0, head.length, 0);
  fs.closeSync(fd);
  const header = decodeHeader(head.subarray(0, length), path);
  validateHeader(header, path);
  const geometry = geometryOf(header);
  const end = header.backingFileOffset === 0 ? geometry.clusterSize : header.backingFileOffset;
  const extensions = decodeExtensions(head, { start: header.headerLength, end }, path);
  const { edge, release } = await fileEdge(path, mode);
  return { image: { fileName: path, header, extensions, geometry, file: edge }, release };
}

/** What the check of an image says, opened as `img check` does. */
export async function checkFile(path: string): Promise<FileCheck> {
  const graph = newGraph();
  const spec = { driver: 'qcow2', file: { driver: 'file', filename: path } };
  const node = await openNode(graph, spec, { modes: { readOnly: true }, noBacking: true });
  const parent = { kind: 'backend' as const, describe: () => 'a test' };
  const perm = { perm: Perm.CONSISTENT_READ, shared: Perm.ALL };
  const edge = graph.attach({ parent, node, name: 'root', role: 'filtered' }, perm);
  const lines: string[] = [];
  try {
    const result = await node.image.check?.run({ repair: 'none', report: (line) => lines.push(line) });
    if (!result) throw new Error('the image cannot be checked');
    return { result, lines };
  } finally {
    await graph.detach(edge);
  }
}

/** Exit status of `check` for a result. */
export function exitStatus(result: CheckResult): number {
  if (result.checkErrors > 0) return 1;
  if (result.corruptions > 0) return 2;
  return result.leaks > 0 ? 3 : 0;
}

/** The counters as the JSON of `check` has them: zeroes left out, but for check-errors. */
export function checkJson(result: CheckResult): Record<string, number> {
  const named: Readonly<Record<string, number | undefined>> = {
    'check-errors': result.checkErrors,
    corruptions: result.corruptions,
    leaks: result.leaks,
    'image-end-offset': result.imageEndOffset,
    'total-clusters': result.totalClusters,
    'allocated-clusters': result.allocatedClusters,
    'fragmented-clusters': result.fragmentedClusters,
    'compressed-clusters': result.compressedClusters,
  };
  const json: Record<string, number> = {};
  for (const [name, value] of Object.entries(named)) {
    if (value !== undefined && (value !== 0 || name === 'check-errors')) json[name] = value;
  }
  return json;
}
