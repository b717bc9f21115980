/**
 * What `accounts.ts` starts, in a process of its own since it measures code that V8 has fitted to its use: nanoseconds of
 * processor time for a small read that completes at once, with accounts or without. Prints them as JSON.
 *
 *     node cached-reads.mjs null-co|raw|qcow2 IMAGE on|off
 *
 * Reads go to the image in the memory of this process, where they cost nothing but our own code, and to the file itself.
 */
import { readFileSync } from 'node:fs';
import { KindCounters } from '../../src/core/block/accounting/counters.ts';
import { Accounting } from '../../src/core/block/accounting/index.ts';
import { Backend } from '../../src/core/block/backend/backend.ts';
import type { DriverEntry, Image } from '../../src/core/block/driver.ts';
import { BlockGraph } from '../../src/core/block/graph/block-graph.ts';
import { operations } from '../../src/core/block/graph/operations.ts';
import type { NodeSpec } from '../../src/core/block/graph/spec.ts';
import { defineOptions } from '../../src/core/options/index.ts';
import { driverList } from '../../src/drivers/index.ts';
import { middle } from './measure.ts';

const SIZE = 16 << 20;
/** What is read into. */
const data = Buffer.alloc(4096);
const BATCHES = 9;
const WARM_UP = 4;

const [format = '', path = '', accounts = ''] = process.argv.slice(2);
if (accounts === 'off') {
  Object.assign(Accounting.prototype, { times: () => false, reaching: (_offset: number, length: number) => length });
  Object.assign(KindCounters.prototype, { count: () => undefined });
}
const graph = new BlockGraph({
  drivers: { ...driverList, entries: [...driverList.entries, inMemory(path)] },
  references: 'all',
  warn: () => undefined,
});
const ownTime = await measure(
  format === 'null-co' ? nullDisk() : { driver: format, file: { driver: 'bytes' } },
  500_000,
);
const whole =
  format === 'null-co' ? ownTime : await measure({ driver: format, file: { driver: 'file', filename: path } }, 20_000);
process.stdout.write(JSON.stringify({ ownTime, whole }));

function nullDisk(): NodeSpec {
  return { driver: 'null-co', size: SIZE };
}

/** A disk of the bytes that a file holds now. What is measured is not copied: only tables are looked at. */
function inMemory(file: string): DriverEntry {
  const open = async (): Promise<Image> => {
    const bytes = new Uint8Array(readFileSync(file));
    return {
      size: bytes.length,
      read: (offset, buf) => (buf === data ? undefined : buf.set(bytes.subarray(offset, offset + buf.length))),
      close: async () => undefined,
    };
  };
  const driver = { name: 'bytes', kind: 'protocol', options: defineOptions({}), open } as const;
  return { name: 'bytes', kind: 'protocol', load: async () => driver };
}

/** Nanoseconds for a read of 4 KiB at a random place, in the middle of several batches. */
async function measure(spec: NodeSpec, count: number): Promise<number> {
  // With a name, as exports have: the backend then has accounts too.
  const backend = await Backend.open(graph, spec, {
    name: 'bench',
    user: 'the bench',
    permissions: operations.read.image,
  });
  const times: number[] = [];
  for (let batch = -WARM_UP; batch < BATCHES; batch++) {
    const ns = readMany(backend, count);
    if (batch >= 0) times.push(ns);
    // Code that is compiled meanwhile comes in between two turns.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await backend.close();
  return middle(times);
}

function readMany(backend: Backend, count: number): number {
  const blocks = SIZE / data.length;
  const begin = process.cpuUsage();
  let random = 1;
  for (let left = count; left > 0; left--) {
    random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
    if (backend.read(((random >>> 8) % blocks) * data.length, data) instanceof Promise) throw new Error('not cached');
  }
  const { user, system } = process.cpuUsage(begin);
  return ((user + system) * 1000) / count;
}
