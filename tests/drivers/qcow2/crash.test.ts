/**
 * A crash at any moment: every write to the host file is logged, and the file is rebuilt as a crash could have
 * left it — all that was written before the last completed flush began, any part of what came later, cut at
 * sector boundaries. Each must open, must be sound but for leaks, and must hold all data that was flushed.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { rebuild } from './support/crashed-file.ts';
import {
  edgeOn,
  hasQemuImg,
  openMemory,
  qemuCheck,
  qemuImg,
  READ_ONLY,
  randomFrom,
  scratch,
} from './support/harness.ts';
import { MemoryFile } from './support/memory-file.ts';

const dir = scratch('crash');
const SECTOR = 512;
const BLOCK = 1024;

interface Scenario {
  readonly name: string;
  readonly options: string;
  readonly size: number;
  readonly lazy?: boolean;
  readonly snapshot?: boolean;
  readonly backing?: boolean;
  readonly runtime?: Record<string, unknown>;
}

const scenarios: Scenario[] = [
  { name: 'small clusters', options: 'cluster_size=1k', size: 1 << 20 },
  {
    name: 'refcounts of 64 bits in clusters of 512 bytes',
    options: 'cluster_size=512,refcount_bits=64',
    size: 1 << 20,
  },
  {
    name: 'extended entries over a backing file',
    options: 'cluster_size=16k,extended_l2=on',
    size: 1 << 20,
    backing: true,
  },
  { name: 'backing file', options: 'cluster_size=4k', size: 1 << 20, backing: true },
  { name: 'snapshot', options: 'cluster_size=1k', size: 1 << 20, snapshot: true },
  { name: 'lazy refcounts', options: 'cluster_size=1k,lazy_refcounts=on', size: 1 << 20, lazy: true },
  {
    name: 'space given back and small caches',
    options: 'cluster_size=1k',
    size: 1 << 20,
    runtime: {
      'pass-discard-other': true,
      'l2-cache-size': 2048,
      'l2-cache-entry-size': 512,
      'refcount-cache-size': 4096,
    },
  },
];

/** For each block of the disk, the values that a reader may find: the flushed one and those written since. */
class Expectation {
  readonly flushed: Buffer;
  /** Values of each block since the last flush, oldest first. */
  readonly later = new Map<number, Buffer[]>();
  constructor(disk: Buffer) {
    this.flushed = Buffer.from(disk);
  }
  clone(): Expectation {
    const copy = new Expectation(this.flushed);
    for (const [block, values] of this.later) copy.later.set(block, [...values]);
    return copy;
  }
  wrote(offset: number, data: Buffer): void {
    for (let at = 0; at < data.length; at += SECTOR) {
      const block = (offset + at) / SECTOR;
      this.later.set(block, [...(this.later.get(block) ?? []), data.subarray(at, at + SECTOR)]);
    }
  }
}

interface Moment {
  /** Length of the log when it was taken. */
  readonly at: number;
  readonly expectation: Expectation;
}

describe.skipIf(!hasQemuImg)('a crash', () => {
  for (const scenario of scenarios) {
    it(`leaves no damage: ${scenario.name}`, { timeout: 60_000 }, async () => {
      for (let seed = 1; seed <= Number(process.env.CRASH_SEEDS ?? 1); seed++) await crash(scenario, seed);
    });
  }
});

async function crash(scenario: Scenario, seed: number): Promise<void> {
  const random = randomFrom(seed * 31 + scenario.name.length + Number(process.env.CRASH_BASE ?? 0));
  const disk = Buffer.alloc(scenario.size);
  const start = prepare(scenario, disk, random);
  const file = start.file.clone();
  file.log = [];
  file.delay = () => (random(2) === 0 ? random(3) : 0);
  const moments = await work(scenario, { file, backing: start.backing, disk, random });
  const { log } = file;
  for (let sample = 0; sample < 24; sample++) {
    const at = sample === 0 ? log.length : random(log.length + 1);
    const rebuilt = rebuild(start.file, log, at, random);
    await judge(scenario, rebuilt, start.backing, latest(moments, at), `seed ${seed}, crash at ${at} of ${log.length}`);
  }
}

function prepare(scenario: Scenario, disk: Buffer, random: (below: number) => number) {
  const image = path.join(dir, 'start.qcow2');
  const base = path.join(dir, 'base.raw');
  const options = [scenario.options];
  if (scenario.backing) {
    for (let at = 0; at < disk.length; at += BLOCK) disk.fill(1 + random(255), at, at + BLOCK);
    fs.writeFileSync(base, disk);
    options.push(`backing_file=${base},backing_fmt=raw`);
  }
  qemuImg('create', '-q', '-f', 'qcow2', '-o', options.join(','), image, String(scenario.size));
  if (scenario.snapshot) {
    const filled = path.join(dir, 'filled.raw');
    for (let at = 0; at < disk.length / 2; at += BLOCK) disk.fill(1 + random(255), at, at + BLOCK);
    fs.writeFileSync(filled, disk);
    qemuImg('convert', '-n', '-f', 'raw', '-O', 'qcow2', filled, image);
    qemuImg('snapshot', '-c', 'one', image);
  }
  const backing = scenario.backing ? MemoryFile.load(base) : undefined;
  return { file: MemoryFile.load(image), backing };
}

interface Work {
  readonly file: MemoryFile;
  readonly backing: MemoryFile | undefined;
  readonly disk: Buffer;
  readonly random: (below: number) => number;
}

/** Requests side by side on separate blocks, with flushes; a moment is noted whenever one has completed. */
async function work(scenario: Scenario, { file, backing, disk, random }: Work): Promise<Moment[]> {
  const opened = await openMemory({
    file,
    ...(backing ? { backing: edgeOn(backing, READ_ONLY, 'backing') } : {}),
    ...(scenario.runtime ? { options: scenario.runtime } : {}),
  });
  const log = file.log ?? [];
  let state = new Expectation(disk);
  const moments: Moment[] = [{ at: 0, expectation: state.clone() }];
  for (let round = 0; round < 12; round++) {
    const taken = new Set<number>();
    const requests: Promise<unknown>[] = [];
    for (let n = 0; n < 10; n++) {
      const length = BLOCK * (1 + random([4, 64][random(2)] ?? 4));
      const offset = Math.floor(random(scenario.size - length) / BLOCK) * BLOCK;
      const blocks = Array.from({ length: length / BLOCK }, (_, index) => offset / BLOCK + index);
      if (blocks.some((block) => taken.has(block))) continue;
      for (const block of blocks) taken.add(block);
      const zeroes = random(4) === 0;
      const data = zeroes ? Buffer.alloc(length) : Buffer.alloc(length, 1 + random(255));
      const half = data.subarray(0, length - SECTOR * random(2));
      state.wrote(offset, zeroes ? data : half);
      moments.push({ at: log.length, expectation: state.clone() });
      requests.push(Promise.resolve(zeroes ? opened.edge.zero(offset, length, 2) : opened.edge.write(offset, half)));
    }
    await Promise.all(requests);
    if (random(3) === 0) continue;
    await opened.edge.flush();
    state = flushed(state);
    moments.push({ at: log.length, expectation: state.clone() });
  }
  await opened.image.close();
  moments.push({ at: log.length, expectation: flushed(state) });
  return moments;
}

function flushed(state: Expectation): Expectation {
  const next = new Expectation(state.flushed);
  for (const [block, values] of state.later) values.at(-1)?.copy(next.flushed, block * SECTOR);
  return next;
}

/** What is known to be true of a crash at that point of the log. */
function latest(moments: readonly Moment[], at: number): Expectation {
  let known = moments[0]?.expectation;
  for (const moment of moments) if (moment.at <= at) known = moment.expectation;
  if (!known) throw new Error('no moment');
  return known;
}

async function judge(
  scenario: Scenario,
  file: MemoryFile,
  backing: MemoryFile | undefined,
  expectation: Expectation,
  what: string,
): Promise<void> {
  const name = path.join(dir, 'crashed.qcow2');
  file.save(name);
  const report = qemuCheck(name);
  expect(report['check-errors'], what).toBe(0);
  if (scenario.lazy) {
    // Counts may be wrong while the dirty bit says so; a repair must put everything right.
    try {
      qemuImg('check', '-q', '-r', 'all', name);
    } catch (error) {
      expect.fail(`${what}: repair failed: ${String(error)}`);
    }
    expect(qemuCheck(name).corruptions ?? 0, what).toBe(0);
  } else expect(report.corruptions ?? 0, what).toBe(0);
  const content = Buffer.alloc(scenario.size);
  const opened = await openMemory({
    file: MemoryFile.load(name),
    modes: READ_ONLY,
    ...(backing ? { backing: edgeOn(backing, READ_ONLY, 'backing') } : {}),
  });
  await opened.edge.read(0, content);
  await opened.image.close();
  for (let block = 0; block < scenario.size / SECTOR; block++) {
    const found = content.subarray(block * SECTOR, (block + 1) * SECTOR);
    if (found.equals(expectation.flushed.subarray(block * SECTOR, (block + 1) * SECTOR))) continue;
    const later = expectation.later.get(block);
    const allowed = later?.some((value) => value.equals(found)) ?? false;
    expect(
      allowed,
      `${what}: sector ${block} holds ${found[0]}, flushed was ${expectation.flushed[block * SECTOR]}`,
    ).toBe(true);
  }
}
