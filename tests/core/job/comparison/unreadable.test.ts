/** Disks that cannot be read everywhere: what is told of them does not depend on how long requests take. */
import { expect, test } from 'vitest';
import type { Backend } from '../../../../src/core/block/backend/backend.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { compareImages } from '../../../../src/core/job/comparison/compare-images.ts';
import { type Difference, differences } from '../../../../src/core/job/comparison/differences.ts';
import { Random } from '../../../support/random.ts';
import { type DiskSettings, MemoryDisk, MemoryGraph, pattern } from '../memory-disk.ts';

const MiB = 1024 * 1024;
const SIZE = 16 * MiB;

/** Two disks of the same content but for some bytes, that have bad sectors and take their time. */
async function pair(random: Random, damage: { changed: readonly number[]; bad: readonly (readonly number[])[] }) {
  const content = pattern(SIZE);
  const changed = Buffer.from(content);
  for (const at of damage.changed) changed[at] = 0;
  const graph = new MemoryGraph();
  const open = (name: string, bytes: Uint8Array, bad: readonly number[] = []): Promise<Backend> => {
    const settings: DiskSettings = {
      size: SIZE,
      content: bytes,
      slow: () => random.below(6),
      fault: ({ kind, offset, length }) => {
        if (kind === 'read' && bad.some((at) => at >= offset && at < offset + length)) throw new Error(`bad ${name}`);
      },
    };
    return graph.open(name, new MemoryDisk(settings), operations.read.image);
  };
  return [await open('a', content, damage.bad[0]), await open('b', changed, damage.bad[1])] as const;
}

test.each([
  ['a bad sector', [], [[5 * MiB + 7 * 512], [9 * MiB]], { kind: 'failed', offset: 5 * MiB + 7 * 512, side: 0 }],
  ['one of the other disk', [], [[9 * MiB], [5 * MiB + 300]], { kind: 'failed', offset: 5 * MiB, side: 1 }],
  ['a difference before it', [5 * MiB], [[5 * MiB + 512]], { kind: 'content', offset: 5 * MiB }],
  ['a difference behind it', [5 * MiB + 512], [[5 * MiB]], { kind: 'failed', offset: 5 * MiB, side: 0 }],
])('of %s compare tells what comes first', async (_what, changed, bad, wanted) => {
  for (let seed = 1; seed <= 8; seed++) {
    const disks = await pair(new Random(seed), { changed, bad });
    expect(await compareImages(...disks)).toMatchObject(wanted);
    for (const disk of disks) await disk.close();
  }
});

test('diff lists what differs before a bad sector, and then fails', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const changed = [MiB, 5 * MiB, 5 * MiB + 1024, 5 * MiB + 4096, 7 * MiB];
    const disks = await pair(new Random(seed), { changed, bad: [[5 * MiB + 2048]] });
    const found: Difference[] = [];
    const all = async (): Promise<void> => {
      for await (const each of differences(disks, { granularity: 512 })) found.push(each);
    };
    await expect(all()).rejects.toThrow(`Could not read the first image at offset ${5 * MiB + 2048}: bad a`);
    expect(found.map(({ offset, length }) => [offset, length])).toEqual([
      [MiB, 512],
      [5 * MiB, 512],
      [5 * MiB + 1024, 512],
    ]);
    for (const disk of disks) await disk.close();
  }
});
