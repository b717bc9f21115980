/** The check of an image without opening it: what the header says, and the file. */
import fs from 'node:fs';
import type { CheckResult } from '../../../../src/core/block/driver.ts';
import { type CheckedImage, checkImage } from '../../../../src/drivers/qcow2/check/index.ts';
import { decodeExtensions } from '../../../../src/drivers/qcow2/meta/extensions.ts';
import { geometryOf } from '../../../../src/drivers/qcow2/meta/geometry.ts';
import { decodeHeader, validateHeader } from '../../../../src/drivers/qcow2/meta/header.ts';
import { fileEdge } from './host-edge.ts';

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

export async function checkFile(path: string): Promise<FileCheck> {
  const { image, release } = await openChecked(path);
  const lines: string[] = [];
  try {
    const result = await checkImage(image, { report: (line) => lines.push(line) });
    return { result, lines };
  } finally {
    await release();
  }
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
