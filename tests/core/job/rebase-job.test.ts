/** What a rebase reads and writes, told by the accounts of the files. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { createImage } from '../../../src/core/job/create-image.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { rebaseJob } from '../../../src/core/job/rebase/rebase-job.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { firstDifference, openDisk, readDisk } from '../../support/disk.ts';
import { Random } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZE = 16 * MiB;

interface Write {
  readonly offset: number;
  readonly data: Buffer;
}

class Chains {
  readonly folder = tempDir();
  readonly graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });

  spec(name: string): NodeSpec {
    const driver = name.endsWith('.raw') ? 'raw' : 'qcow2';
    return { driver, file: { driver: 'file', filename: join(this.folder, name) } };
  }

  async make(name: string, backing: string | undefined, ...writes: Write[]): Promise<void> {
    const driver = name.endsWith('.raw') ? 'raw' : 'qcow2';
    const fmt = backing?.endsWith('.raw') ? 'raw' : 'qcow2';
    await createImage(this.graph, {
      driver,
      fileName: join(this.folder, name),
      options: { size: SIZE, ...(backing ? { backing_file: backing, backing_fmt: fmt } : {}) },
    });
    const disk = await openDisk(this.spec(name), { writable: true });
    for (const { offset, data } of writes) await disk.write(offset, data);
    await disk.close();
  }

  async shows(name: string): Promise<Buffer> {
    const disk = await openDisk(this.spec(name));
    const bytes = await readDisk(disk);
    await disk.close();
    return bytes;
  }

  /** Rebase `name`; returns the bytes read of each file and by which chain, and written to the image. */
  async rebase(name: string, next: string | undefined, compressed = false): Promise<ReadonlyMap<string, number>> {
    const open = (file: string, row: 'image' | 'backing'): Promise<Backend> =>
      Backend.open(this.graph, this.spec(file), {
        user: `the test of '${file}'`,
        permissions: operations.rebase[row],
        open: { modes: { readOnly: row === 'backing' } },
      });
    const image = await open(name, 'image');
    const other = next === undefined ? undefined : await open(next, 'backing');
    const files = [...filesBelow(image.image, 'old'), ...(other ? filesBelow(other.image, 'new') : [])];
    const before = files.map(([, node]) => node.accounts.read.bytes);
    const format = next?.endsWith('.raw') ? 'raw' : 'qcow2';
    const request = { image, next: other, common: undefined, name: next, format, compressed };
    await rebaseJob(new JobList(), request).start();
    const read = files.map(([label, node], index): [string, number] => [
      label,
      node.accounts.read.bytes - (before[index] ?? 0),
    ]);
    return new Map(read);
  }
}

/** The files of a chain by the side and their name. */
function filesBelow(top: Node, side: string): [string, Node][] {
  const found: [string, Node][] = [];
  for (let layer: Node | undefined = top; layer; layer = layer.backing?.node) {
    const file = layer.children.get('file')?.node;
    if (file) found.push([`${side} ${file.fileName.split('/').at(-1)}`, file]);
  }
  return found;
}

function of(read: ReadonlyMap<string, number>, label: string): number {
  const bytes = read.get(label);
  if (bytes === undefined) throw new Error(`no file '${label}' among ${[...read.keys()].join(', ')}`);
  return bytes;
}

const data = (random: Random, length: number): Buffer => random.bytes(length);

describe('a rebase', () => {
  test('reads no data where both chains end in the same file', async () => {
    const chains = new Chains();
    const random = new Random(1);
    await chains.make('base.raw', undefined, { offset: 0, data: data(random, 12 * MiB) });
    await chains.make('left.qcow2', 'base.raw', { offset: 2 * MiB, data: data(random, MiB) });
    await chains.make('right.qcow2', 'base.raw', { offset: 2 * MiB, data: data(random, 512 * KiB) });
    await chains.make('top.qcow2', 'left.qcow2', { offset: 8 * MiB, data: data(random, 64 * KiB) });
    const before = await chains.shows('top.qcow2');
    const read = await chains.rebase('top.qcow2', 'right.qcow2');
    expect(firstDifference(await chains.shows('top.qcow2'), before)).toBe(-1);
    // Where one of the two has something itself.
    expect(of(read, 'old base.raw')).toBeLessThan(64 * KiB);
    expect(of(read, 'new base.raw')).toBeLessThan(1.5 * MiB);
    expect(of(read, 'old left.qcow2')).toBeGreaterThanOrEqual(MiB);
    expect(of(read, 'old left.qcow2')).toBeLessThan(1.5 * MiB);
  });

  test('does not read the new chain where that shows zeroes, nor any where both do', async () => {
    const chains = new Chains();
    const random = new Random(2);
    await chains.make('old.qcow2', undefined, { offset: MiB, data: data(random, 2 * MiB) });
    await chains.make('new.qcow2', undefined, { offset: 10 * MiB, data: data(random, 64 * KiB) });
    await chains.make('top.qcow2', 'old.qcow2');
    const before = await chains.shows('top.qcow2');
    const read = await chains.rebase('top.qcow2', 'new.qcow2');
    expect(firstDifference(await chains.shows('top.qcow2'), before)).toBe(-1);
    expect(of(read, 'old old.qcow2')).toBeLessThan(2.5 * MiB);
    expect(of(read, 'new new.qcow2')).toBeLessThan(256 * KiB);
  });

  test.each([1, 2, 3, 4])('of chains of any content shows the same disk (seed %i)', async (seed) => {
    const chains = new Chains();
    const random = new Random(seed);
    const some = (count: number): Write[] =>
      Array.from({ length: count }, () => {
        const length = 512 * random.between(1, 2000);
        const bytes = random.chance(0.3) ? Buffer.alloc(length) : data(random, length);
        return { offset: 512 * random.between(0, (SIZE - length) / 512), data: bytes };
      });
    await chains.make('base.raw', undefined, ...some(8));
    await chains.make('left.qcow2', 'base.raw', ...some(6));
    await chains.make('right.qcow2', random.chance(0.5) ? 'base.raw' : 'left.qcow2', ...some(6));
    await chains.make('top.qcow2', 'left.qcow2', ...some(4));
    const before = await chains.shows('top.qcow2');
    const steps: [string | undefined, boolean][] = [
      ['right.qcow2', random.chance(0.5)],
      ['base.raw', false],
      [undefined, true],
    ];
    for (const [next, compressed] of steps) {
      await chains.rebase('top.qcow2', next, compressed);
      expect(firstDifference(await chains.shows('top.qcow2'), before), `onto ${next}`).toBe(-1);
    }
  });
});
