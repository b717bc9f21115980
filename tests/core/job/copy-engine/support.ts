/** What the tests of the copy engine share. */
import type { Maybe } from '../../../../src/core/async/maybe.ts';
import { copy } from '../../../../src/core/job/copy-engine/copy.ts';
import type { CopyControl, CopyOptions } from '../../../../src/core/job/copy-engine/types.ts';
import { type MemoryDisk, MemoryGraph, type Request } from '../memory-disk.ts';

export class Control implements CopyControl {
  done = 0;
  throttled = 0;
  readonly warnings: string[] = [];
  checkpoint(): Maybe<void> {}
  throttle(bytes: number): void {
    this.throttled += bytes;
  }
  advance(bytes: number): void {
    this.done += bytes;
  }
  onError(_operation: 'read' | 'write', error: unknown): Promise<'retry' | 'ignore'> {
    return Promise.reject(error);
  }
  warn(message: string): void {
    this.warnings.push(message);
  }
}

export type Rest = Partial<Omit<CopyOptions, 'sources' | 'target'>> & { readsZero?: boolean; clusterSize?: number };

/** Copy `sources` behind one another to `target`. */
export async function run(sources: readonly MemoryDisk[], target: MemoryDisk, rest: Rest = {}): Promise<Control> {
  const { readsZero = true, clusterSize = 1, ...options } = rest;
  const control = (options.control as Control | undefined) ?? new Control();
  const memory = new MemoryGraph();
  const opened = [];
  let targetOffset = 0;
  for (const [index, disk] of sources.entries()) {
    opened.push({ backend: await memory.open(`s${index}`, disk), targetOffset });
    targetOffset += disk.settings.size;
  }
  const backend = await memory.openTarget('t', target);
  await copy({
    sources: opened,
    target: { backend, readsZero, clusterSize, unit: clusterSize },
    control,
    ...options,
  });
  return control;
}

export const spans = (requests: readonly Request[]): [number, number][] =>
  requests.map(({ offset, length }) => [offset, length]);

/** Sorted and joined, so that splitting does not matter. */
export function covered(requests: readonly Request[]): [number, number][] {
  const joined: [number, number][] = [];
  for (const { offset, length } of [...requests].sort((a, b) => a.offset - b.offset)) {
    const last = joined.at(-1);
    if (last && last[0] + last[1] === offset) last[1] += length;
    else joined.push([offset, length]);
  }
  return joined;
}
