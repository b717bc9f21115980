/** A node's operations over a memory disk, without a graph. */
import { NodeIo } from '../../../../src/core/block/request/node-io.ts';
import { MemoryDisk, type MemorySettings } from '../../../support/memory-driver.ts';

export interface OwnerSettings {
  readonly readOnly?: boolean;
  readonly noFlush?: boolean;
  readonly unmap?: boolean;
  readonly detectZeroes?: 'off' | 'on' | 'unmap';
}

export function ioOver(settings: MemorySettings, owner: OwnerSettings = {}): { disk: MemoryDisk; io: NodeIo } {
  const disk = new MemoryDisk(settings);
  const { readOnly = false, noFlush = false, unmap = true, detectZeroes = 'off' } = owner;
  const io = new NodeIo(disk.image, {
    name: 'disk',
    modes: { readOnly, noFlush, unmap },
    detectZeroes,
    children: new Map(),
    resized: () => undefined,
  });
  return { disk, io };
}

/** Fails when `work` is not done after a number of turns that nothing here comes near: it waits for itself. */
export async function inTime<T>(work: Promise<T>, turns = 20_000): Promise<T> {
  let done = false;
  const marked = work.finally(() => {
    done = true;
  });
  marked.catch(() => undefined);
  for (let turn = 0; turn < turns && !done; turn++) await new Promise((resolve) => setImmediate(resolve));
  if (!done) throw new Error('requests wait for each other');
  return marked;
}
