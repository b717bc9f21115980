/** Filters that come and go below and above formats, while data flows. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Backend } from '../../../src/core/block/backend/backend.ts';
import type { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { addMember, removeMember } from '../../../src/core/block/graph/members.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { insertFilter, removeFilter } from '../../../src/core/block/graph/reshape.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { checkDisk, makeImage, openDisk, readDisk } from '../../support/disk.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';

const K = 1024;
const SIZE = 1024 * K;

/** A qcow2 image over a raw base, both with names of their own for all nodes. */
async function chain(folder: string): Promise<{ spec: NodeSpec; content: Buffer }> {
  const [base, top] = [join(folder, 'base.raw'), join(folder, 'top.qcow2')];
  const content = Buffer.from(Array.from({ length: SIZE }, (_, index) => (index >> 12) % 251));
  writeFileSync(base, content);
  await makeImage('qcow2', top, { size: SIZE, backing_file: base, backing_fmt: 'raw', cluster_size: 4096 });
  const file = (filename: string, name: string) => ({ driver: 'file', filename, 'node-name': name });
  const backing = { driver: 'raw', 'node-name': 'base', file: file(base, 'base-file') };
  return { spec: { driver: 'qcow2', 'node-name': 'top', file: file(top, 'top-file'), backing }, content };
}

describe('blkdebug put below what is in use', () => {
  test.each([
    ['top-file', 'write_aio', 'qcow2'],
    ['top-file', 'l2_update', 'qcow2, its tables'],
    ['base-file', 'read_aio', 'raw'],
    ['base', 'read_backing_aio', 'the format above a backing file'],
  ])('hears on %s of %s, which %s announces', async (below, event) => {
    const { spec } = await chain(tempDir());
    const disk = await openDisk({ driver: 'throttle', 'iops-total': 1e6, file: spec }, { writable: true });
    let next = 0;
    const work = async () => {
      // Where nothing was allocated before.
      next += 4 * K;
      await disk.write(next, Buffer.alloc(4 * K, 9));
      await readDisk(disk, 512 * K, 4 * K);
      await disk.flush();
    };
    await work();
    const place = event === 'read_backing_aio' ? 'top-file' : below;
    const filter = await insertFilter(disk.graph, disk.graph.find(place), {
      driver: 'blkdebug',
      'inject-error': [{ event, errno: 'ENOSPC', once: true }],
    });
    await expect(work()).rejects.toMatchObject({ code: 'ENOSPC' });
    await removeFilter(disk.graph, filter);
    await work();
    await disk.close();
  });
});

/** Requests beside each other in stretches of their own, checked against `content`, until told to stop. */
class Workload {
  readonly #disk: Backend;
  readonly #content: Buffer;
  #stopped = false;
  done = 0;

  constructor(disk: Backend, content: Buffer) {
    this.#disk = disk;
    this.#content = content;
  }

  /** What each worker asks for follows from the seed, whatever the others come to. */
  async run(seed: number, workers: number): Promise<void> {
    const stretch = SIZE / workers;
    const work = async (worker: number) => {
      const random = new Random(seed * workers + worker);
      while (!this.#stopped) {
        await this.#request(random, worker * stretch, stretch);
        this.done++;
      }
    };
    await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  }

  async #request(random: Random, start: number, stretch: number): Promise<void> {
    const offset = start + random.below(stretch);
    const length = Math.min(1 + random.magnitude(40 * K), start + stretch - offset);
    const place = this.#content.subarray(offset, offset + length);
    const kind = random.below(8);
    if (kind < 3) {
      const data = random.bytes(length);
      await this.#disk.write(offset, data);
      data.copy(place);
    } else if (kind === 3) {
      await this.#disk.zero(offset, length);
      place.fill(0);
    } else if (kind === 4) {
      await this.#disk.flush();
    } else {
      const seen = await readDisk(this.#disk, offset, length);
      if (!seen.equals(place)) throw new Error(`other content in the ${length} bytes at ${offset}`);
    }
  }

  stop(): void {
    this.#stopped = true;
  }
}

/** Options of filters, all but what they filter; `above`: only over a format, `below`: only under one. */
function filterSpecs(folder: string, n: number): readonly (NodeSpec & { readonly place?: 'above' | 'below' })[] {
  writeFileSync(join(folder, `log-${n}`), '');
  return [
    { driver: 'throttle', 'iops-total': 20_000 },
    { driver: 'blkdebug', align: 512 },
    { driver: 'blkdebug', align: 4096, 'max-transfer': 8192, 'opt-write-zero': 8192 },
    { driver: 'blkreplay', seed: n },
    { driver: 'blklogwrites', log: { driver: 'file', filename: join(folder, `log-${n}`) } },
    { driver: 'trace', 'trace-file': join(folder, `trace-${n}`) },
    { driver: 'copy-on-read', place: 'above' },
    { driver: 'compress', place: 'above' },
    { driver: 'preallocate', 'prealloc-size': '256k', place: 'below' },
  ];
}

/** Puts filters in and takes them out, as chance has it. What the permissions do not allow is left. */
class Changes {
  readonly #graph: BlockGraph;
  readonly #random: Random;
  readonly #folder: string;
  readonly #filters: string[] = [];
  #next = 0;
  readonly kinds = new Set<string>();

  constructor(graph: BlockGraph, random: Random, folder: string) {
    this.#graph = graph;
    this.#random = random;
    this.#folder = folder;
  }

  async step(): Promise<void> {
    if (this.#filters.length > 3 || (this.#filters.length > 0 && this.#random.chance(0.4))) return this.remove();
    const n = this.#next++;
    const below = this.#random.pick(['top', 'top-file', 'base', 'base-file', ...this.#filters]);
    const { place, ...spec } = this.#random.pick(filterSpecs(this.#folder, n));
    const aboveFormat = this.#graph.find(below).layer.name;
    if (place === 'above' && aboveFormat !== 'top') return;
    if (place === 'below' && below !== 'top-file') return;
    const name = `f${n}`;
    try {
      await insertFilter(this.#graph, this.#graph.find(below), { ...spec, 'node-name': name });
    } catch (error) {
      // What the permissions do not allow, and compress over blklogwrites.
      if (error instanceof Error && 'code' in error && ['EPERM', 'ENOTSUP'].includes(String(error.code))) return;
      throw error;
    }
    this.#filters.push(name);
    this.kinds.add(spec.driver ?? '');
  }

  async remove(): Promise<void> {
    const [name] = this.#filters.splice(this.#random.below(this.#filters.length), 1);
    if (name !== undefined) await removeFilter(this.#graph, this.#graph.find(name));
  }

  get left(): boolean {
    return this.#filters.length > 0;
  }
}

test.each(seeds(4))('filters come and go under a workload, seed %i', async (seed) => {
  const random = new Random(seed);
  const folder = tempDir();
  const { spec, content } = await chain(folder);
  const disk = await openDisk(spec, { writable: true });
  const workload = new Workload(disk, content);
  const running = workload.run(seed, 4);
  const changes = new Changes(disk.graph, random, folder);
  const changing = (async () => {
    for (let n = 0; n < 40; n++) await changes.step();
    while (changes.left) await changes.remove();
  })().finally(() => workload.stop());
  await Promise.all([running, changing]);
  expect(changes.kinds.size).toBeGreaterThan(3);
  expect(workload.done).toBeGreaterThan(20);
  expect(disk.image.name).toBe('top');
  expect(content.equals(await readDisk(disk))).toBe(true);
  await disk.close();
  const again = await openDisk(spec);
  expect(content.equals(await readDisk(again))).toBe(true);
  expect(await checkDisk(again)).toMatchObject({ corruptions: 0, leaks: 0 });
  await again.close();
});

test('children of a quorum come and go under a workload', async () => {
  const random = new Random(1);
  const folder = tempDir();
  const content = Buffer.alloc(SIZE);
  const child = (name: string): NodeSpec => {
    writeFileSync(join(folder, name), Buffer.alloc(SIZE));
    return { driver: 'raw', 'node-name': name, file: { driver: 'file', filename: join(folder, name) } };
  };
  const spec = { driver: 'quorum', 'vote-threshold': 2, 'rewrite-corrupted': true, 'node-name': 'q' };
  const disk = await openDisk({ ...spec, children: [child('a'), child('b'), child('c')] }, { writable: true });
  const workload = new Workload(disk, content);
  const running = workload.run(1, 4);
  const quorum = disk.graph.find('q');
  const changing = (async () => {
    for (let n = 0; n < 10; n++) {
      const names = [...quorum.children.keys()];
      // One that lacks what was written so far: reads put that right.
      await removeMember(disk.graph, quorum, random.pick(names));
      const node = await openNode(disk.graph, child(`n${n}`), { modes: { readOnly: false } });
      await addMember(disk.graph, quorum, node);
      await readDisk(disk);
    }
  })().finally(() => workload.stop());
  await Promise.all([running, changing]);
  expect(workload.done).toBeGreaterThan(20);
  for (const { node } of quorum.children.values()) {
    expect(content.equals(await readNode(node.io))).toBe(true);
  }
  await disk.close();
});

async function readNode(io: { read(offset: number, buf: Uint8Array): Promise<void> | void }): Promise<Buffer> {
  const buf = Buffer.alloc(SIZE);
  await io.read(0, buf);
  return buf;
}
