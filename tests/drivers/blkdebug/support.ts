/** A blkdebug over a disk in memory. */
import { onTestFinished } from 'vitest';
import type { Backend } from '../../../src/core/block/backend/backend.ts';
import type { BreakpointCapability, LabelCapability } from '../../../src/core/block/driver.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { openDisk } from '../../support/disk.ts';
import { MemoryDisk, type MemorySettings, memoryEntry } from '../../support/memory-driver.ts';

export const SIZE = 1 << 20;

export interface Opened {
  readonly disk: Backend;
  readonly memory: MemoryDisk;
  readonly breakpoints: BreakpointCapability;
  readonly labels: LabelCapability;
}

/** Options of blkdebug beside the image, and how it is wrapped. */
export async function openDebug(
  options: Record<string, unknown> = {},
  wrap: (spec: NodeSpec) => NodeSpec = (spec) => spec,
  settings: Partial<MemorySettings> = {},
): Promise<Opened> {
  const memory = new MemoryDisk({ size: SIZE, zeroFlags: 2, ...settings });
  const spec = wrap({ driver: 'blkdebug', ...options, image: { driver: 'memory', disk: 'a' } });
  const disk = await openDisk(spec, {
    writable: true,
    modes: { unmap: true },
    extraDrivers: [memoryEntry(new Map([['a', memory]]))],
  });
  const debug = disk.graph.settings && [...disk.graph.nodes.values()].find((node) => node.driver.name === 'blkdebug');
  const { breakpoints, labels } = debug?.image ?? {};
  if (!breakpoints || !labels) throw new Error('there is no blkdebug');
  onTestFinished(async () => {
    breakpoints.letGo();
    labels.letGo();
    await disk.close();
    if (memory.faults.length > 0) throw new Error(memory.faults.join('; '));
  });
  return { disk, memory, breakpoints, labels };
}

/** The errno-like code that a request ends with; `ok` when it succeeds. */
export async function outcome(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'ok';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

/** Has a promise settled by now, and all that follows from what has. */
export async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.then(
    () => {
      done = true;
    },
    () => {
      done = true;
    },
  );
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  return done;
}
