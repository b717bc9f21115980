/** The block layer as a program uses it: one disk, opened in a graph of its own. */
import { Backend } from '../../src/core/block/backend/backend.ts';
import type { DriverEntry, DriverList } from '../../src/core/block/driver.ts';
import { BlockGraph } from '../../src/core/block/graph/block-graph.ts';
import type { OpenSettings } from '../../src/core/block/graph/open.ts';
import { type OperationPart, operations } from '../../src/core/block/graph/operations.ts';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import { createImage } from '../../src/core/job/index.ts';
import { driverList } from '../../src/drivers/index.ts';

export interface DiskOptions {
  /** Open for writing and resizing; default false. */
  readonly writable?: boolean;
  readonly modes?: OpenSettings['modes'];
  readonly noBacking?: boolean;
  /** Default: those of a user who reads, or with `writable` one who writes and resizes. */
  readonly permissions?: OperationPart;
  /** Drivers beside our own, such as one that logs. */
  readonly extraDrivers?: readonly DriverEntry[];
  /** Receives warnings; by default they are dropped. */
  readonly warn?: (message: string) => void;
}

/** The drivers of the project and further ones. */
export function driversWith(extra: readonly DriverEntry[]): DriverList {
  return { ...driverList, entries: [...driverList.entries, ...extra] };
}

/** Open `spec`; closing the backend closes everything. */
export async function openDisk(spec: NodeSpec, options: DiskOptions = {}): Promise<Backend> {
  const graph = new BlockGraph({
    drivers: driversWith(options.extraDrivers ?? []),
    references: 'all',
    warn: options.warn ?? (() => undefined),
  });
  return Backend.open(graph, spec, {
    user: 'the test',
    permissions: options.permissions ?? (options.writable ? operations.resize.image : operations.read.image),
    open: {
      modes: { readOnly: !options.writable, ...options.modes },
      noBacking: options.noBacking ?? false,
    },
  });
}

/** What `check` of the opened image says, without repairing. */
export async function checkDisk(disk: Backend): Promise<{ corruptions: number; leaks: number; lines: string[] }> {
  const { check } = disk.image.image;
  if (check === undefined) throw new Error(`driver '${disk.image.driver.name}' has no check`);
  const lines: string[] = [];
  const result = await check.run({ repair: 'none', report: (line) => void lines.push(line) });
  return { corruptions: result.corruptions + result.checkErrors, leaks: result.leaks, lines };
}

/** The whole content, or a part of it. */
export async function readDisk(disk: Backend, offset = 0, length = disk.size - offset): Promise<Buffer> {
  const buffer = Buffer.alloc(length, 0xa5);
  const piece = 1 << 20;
  for (let at = 0; at < length; at += piece) {
    await disk.read(offset + at, buffer.subarray(at, Math.min(length, at + piece)));
  }
  return buffer;
}

/** The first offset at which two contents differ; -1 when they are equal. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (Buffer.compare(a, b) === 0) return -1;
  const length = Math.min(a.length, b.length);
  let low = 0;
  let high = length;
  // Halve: equal prefixes compare much faster in bulk than byte by byte.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(a.subarray(low, middle + 1), b.subarray(low, middle + 1)) === 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Make an image with creation options under their command-line names. */
export async function makeImage(
  driver: string,
  fileName: string,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  await using graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  await createImage(graph, { driver, fileName, options });
}
