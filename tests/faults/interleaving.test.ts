/**
 * Two requests on a qcow2 disk in every order in which what they do below can happen: whatever the order, the disk
 * shows what one of the two serial orders would have made of it, the image is whole, and a flush has kept its word.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/core/block/backend/backend.ts';
import { Flag } from '../../src/core/block/driver.ts';
import { checkDisk, firstDifference, makeImage, openDisk, readDisk } from '../support/disk.ts';
import { MemoryFile } from '../support/memory-file.ts';
import { peersFor, qemuImgCheck } from '../support/peers.ts';
import { tempDir } from '../support/temp.ts';
import { type Base, everyOrder, openOn, type Progress, type Run } from './interleaving.ts';

const peers = peersFor('qemu-img');
const K = 1024;
/** Fewest clusters that show everything; small, because each order is a run of its own. */
const CLUSTER = 4 * K;
const SIZE = 16 * CLUSTER;
const OLD = 0xbb;

interface Step {
  readonly what: string;
  run(disk: Backend): void | Promise<void>;
  /** What the request makes of the content, in place. */
  apply(content: Buffer): void;
}

const write = (offset: number, length: number, mark: number): Step => ({
  what: `write ${offset / K}k+${length / K}k`,
  run: (disk) => disk.write(offset, Buffer.alloc(length, mark)),
  apply: (content) => void content.fill(mark, offset, offset + length),
});
const zero = (offset: number, length: number, flags = 0): Step => ({
  what: `zero${flags ? ' (unmap)' : ''} ${offset / K}k+${length / K}k`,
  run: (disk) => disk.zero(offset, length, flags),
  apply: (content) => void content.fill(0, offset, offset + length),
});
/** Of whole clusters, which then read as zeroes. */
const discard = (offset: number, length: number): Step => ({
  what: `discard ${offset / K}k+${length / K}k`,
  run: (disk) => disk.discard(offset, length),
  apply: (content) => void content.fill(0, offset, offset + length),
});
const flush: Step = { what: 'flush', run: (disk) => disk.flush(), apply: () => undefined };

interface Scenario {
  readonly steps: readonly Step[];
  /** Under the image, content of its backing file. */
  readonly backing?: true;
  /** In the file before it is opened. */
  readonly stored?: readonly Step[];
  /** Done before the two, with nothing held. */
  readonly before?: readonly Step[];
  readonly options?: Readonly<Record<string, unknown>>;
  /** The requests touch several clusters each: every byte is in order, all of them together need not be. */
  readonly bytewise?: true;
}

const a = (offset: number, length: number) => write(offset, length, 0xaa);
const c = (offset: number, length: number) => write(offset, length, 0xcc);
const table = [write(40 * K, CLUSTER, OLD)];
const full = [write(0, 4 * CLUSTER, OLD)];

const scenarios: Readonly<Record<string, readonly Scenario[]>> = {
  'two allocating writes': [
    { steps: [a(1 * K, 2 * K), c(2 * K, 2 * K)] },
    { steps: [a(1 * K, 2 * K), c(2 * K, 1 * K)], backing: true },
    { steps: [a(0, 2 * K), c(1 * K, 3 * K)], stored: table, backing: true },
    { steps: [a(0, 2 * K), c(2 * K, 2 * K)], backing: true },
    { steps: [a(2 * K, 2 * K), c(4 * K, 2 * K)], before: table, backing: true },
    { steps: [a(0, CLUSTER), c(CLUSTER, CLUSTER)] },
    { steps: [a(0, CLUSTER), c(CLUSTER, CLUSTER)], stored: table },
    { steps: [a(0, 2 * CLUSTER), c(CLUSTER, 2 * CLUSTER)], bytewise: true },
    { steps: [a(2 * K, 4 * K), c(4 * K, 4 * K)], before: table, backing: true, bytewise: true },
    { steps: [a(1 * K, 2 * K), c(2 * K, 2 * K)], before: [discard(0, CLUSTER)], stored: full },
    { steps: [a(1 * K, 2 * K), c(2 * K, 2 * K)], before: [zero(0, CLUSTER)], stored: full },
    {
      steps: [a(1 * K, 2 * K), c(2 * K, 3 * K)],
      backing: true,
      options: { cluster_size: 16 * K, extended_l2: true },
    },
  ],
  'a write and a discard or zeroing': [
    { steps: [a(1 * K, 2 * K), discard(0, CLUSTER)], backing: true },
    { steps: [a(1 * K, 2 * K), discard(0, CLUSTER)], stored: full },
    { steps: [a(1 * K, 2 * K), discard(0, CLUSTER)], before: full },
    { steps: [a(0, CLUSTER), discard(0, 2 * CLUSTER)], stored: full },
    { steps: [a(0, 2 * CLUSTER), discard(CLUSTER, CLUSTER)], before: table, bytewise: true },
    { steps: [a(8 * CLUSTER, CLUSTER), discard(0, CLUSTER)], stored: full },
    { steps: [a(1 * K, 2 * K), zero(0, CLUSTER)], backing: true },
    { steps: [a(1 * K, 2 * K), zero(0, CLUSTER, Flag.MAY_UNMAP)], stored: full },
    { steps: [a(1 * K, 2 * K), zero(2 * K, 2 * K)], backing: true },
    { steps: [a(1 * K, 2 * K), zero(2 * K, 4 * K, Flag.MAY_UNMAP)], stored: full, bytewise: true },
    {
      steps: [a(1 * K, 2 * K), zero(2 * K, 2 * K)],
      backing: true,
      options: { cluster_size: 16 * K, extended_l2: true },
    },
  ],
  'a write and a flush': [
    { steps: [a(0, CLUSTER), flush] },
    { steps: [a(0, CLUSTER), flush], before: table },
    { steps: [a(1 * K, 3 * K), flush], stored: table, backing: true },
    { steps: [a(1 * K, 2 * K), flush], stored: full },
    { steps: [a(0, CLUSTER), flush], before: [discard(0, CLUSTER)], stored: full },
    { steps: [discard(0, CLUSTER), flush], before: table, stored: full },
    { steps: [zero(0, CLUSTER), flush], before: full },
    { steps: [flush, flush], before: full },
    // What changed while one flush was under way belongs to the next.
    { steps: [zero(0, CLUSTER), flush, flush], before: full },
  ],
};

describe.each(Object.entries(scenarios))('%s', (_group, list) => {
  test.each(list.map((scenario) => [nameOf(scenario), scenario] as const))('%s', async (_name, scenario) => {
    const base = await prepare(scenario);
    const model = before(scenario, base);
    const seen = new Set<string>();
    let runs = 0;
    let last = base.image;
    for await (const run of everyOrder(
      base,
      scenario.steps.map((step) => step.run),
      async (disk) => {
        for (const step of scenario.before ?? []) await step.run(disk);
      },
    )) {
      runs++;
      last = run.closed;
      const story = run.story.join('; ');
      expect(faultOf(scenario, model, run), story).toBe(undefined);
      if (isNew(seen, Buffer.concat([run.closed, run.content])))
        await expectWhole(run.closed, base, run.content, story);
      for (const [index, step] of scenario.steps.entries()) {
        if (step === flush) await expectFlushed({ scenario, base, model, seen }, run, index);
      }
    }
    // More than the two serial orders.
    expect(runs).toBeGreaterThan(2);
    if (!peers.missing) await expectQemuAgrees(last);
  });
});

function nameOf({ steps, stored, before: done, backing, options }: Scenario): string {
  const list = (name: string, some: readonly Step[] | undefined): string =>
    some ? `, ${name} ${some.map(({ what }) => what).join(', ')}` : '';
  const rest = `${backing ? ', over a backing file' : ''}${options ? ', with subclusters' : ''}`;
  return `${steps.map(({ what }) => what).join(' and ')}${list('stored', stored)}${list('after', done)}${rest}`;
}

async function prepare({ stored = [], backing, options = {} }: Scenario): Promise<Base> {
  const folder = tempDir();
  const path = join(folder, 'a.qcow2');
  const below = join(folder, 'below.raw');
  writeFileSync(below, Buffer.alloc(SIZE, OLD));
  const above = backing ? { backing_file: below, backing_fmt: 'raw' } : {};
  await makeImage('qcow2', path, { size: SIZE, cluster_size: CLUSTER, ...options, ...above });
  const disk = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: path } }, { writable: true });
  for (const step of stored) await step.run(disk);
  await disk.close();
  const image = readFileSync(path);
  return backing ? { image, backing: readFileSync(below) } : { image };
}

/** The content when the two requests begin. */
function before({ stored = [], before: done = [] }: Scenario, { backing }: Base): Buffer {
  const content = Buffer.alloc(SIZE, backing ? OLD : 0);
  for (const step of [...stored, ...done]) step.apply(content);
  return content;
}

/** Contents that the orders allow in which nothing comes before what ended before it began. */
function allowed({ steps }: Scenario, model: Buffer, requests: readonly Progress[]): Buffer[] {
  const orders = permutations([...steps.keys()]).filter((order) =>
    order.every((later, at) => !order.slice(0, at).some((earlier) => precedes(requests, later, earlier))),
  );
  return orders.map((order) => {
    const content = Buffer.from(model);
    for (const index of order) steps[index]?.apply(content);
    return content;
  });
}

/** Had request `first` ended when request `second` was issued? */
function precedes(requests: readonly Progress[], first: number, second: number): boolean {
  return (requests[first]?.ended ?? 0) < (requests[second]?.issued ?? 0);
}

function permutations(list: readonly number[]): number[][] {
  if (list.length === 0) return [[]];
  return list.flatMap((first) => permutations(list.filter((each) => each !== first)).map((rest) => [first, ...rest]));
}

/** What is wrong with the content; undefined for nothing. */
function faultOf(scenario: Scenario, model: Buffer, run: Run): string | undefined {
  return contentFault(run.content, allowed(scenario, model, run.requests), scenario.bytewise);
}

function contentFault(content: Buffer, good: readonly Buffer[], bytewise = false): string | undefined {
  if (good.some((each) => each.equals(content))) return undefined;
  if (!bytewise) return `differs from each order, at ${good.map((each) => firstDifference(content, each)).join(', ')}`;
  const at = content.findIndex((byte, index) => good.every((each) => each[index] !== byte));
  return at < 0 ? undefined : `byte ${at} is ${content[at]}, in no order`;
}

function isNew(seen: Set<string>, bytes: Buffer): boolean {
  const key = bytes.toString('latin1');
  if (seen.has(key)) return false;
  seen.add(key);
  return true;
}

/** Opened again the image shows the same, and its tables are sound. */
async function expectWhole(bytes: Buffer, base: Base, content: Buffer, story: string): Promise<void> {
  const disk = await openOn(new MemoryFile(bytes), base, false);
  expect(firstDifference(await readDisk(disk), content), story).toBe(-1);
  expect(await checkDisk(disk), story).toMatchObject({ corruptions: 0, leaks: 0 });
  await disk.close();
}

/** Of one file for each scenario, QEMU says that it is sound. */
async function expectQemuAgrees(bytes: Buffer): Promise<void> {
  const path = join(tempDir(), 'a.qcow2');
  writeFileSync(path, bytes);
  const { code, report } = await qemuImgCheck(path);
  expect({ code, report }).toMatchObject({ code: 0, report: { 'check-errors': 0 } });
}

interface Flushed {
  readonly scenario: Scenario;
  readonly base: Base;
  readonly model: Buffer;
  readonly seen: Set<string>;
}

/** The file as it was when the flush ended, in whole and what is stable of it, has all that ended before the flush. */
async function expectFlushed({ scenario, base, model, seen }: Flushed, run: Run, index: number): Promise<void> {
  const { after } = run.requests[index] ?? {};
  if (!after) throw new Error(`flush ${index} was not issued`);
  const sure = Buffer.from(model);
  const possible = Buffer.from(model);
  for (const [other, step] of scenario.steps.entries()) {
    if (precedes(run.requests, other, index)) step.apply(sure);
    step.apply(possible);
  }
  const good = sure.equals(possible) ? [sure] : [sure, possible];
  for (const [kind, bytes] of Object.entries(after)) {
    if (!isNew(seen, Buffer.concat([bytes, Buffer.from([good.length])]))) continue;
    const story = `${kind} at flush: ${run.story.join('; ')}`;
    const disk = await openOn(new MemoryFile(bytes), base, false);
    expect(contentFault(await readDisk(disk), good, true), story).toBe(undefined);
    expect(await checkDisk(disk), story).toMatchObject({ corruptions: 0 });
    await disk.close();
  }
}
