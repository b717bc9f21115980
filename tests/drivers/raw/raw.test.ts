import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { holder } from '../../core/block/graph/nodes.ts';
import { peersFor, qemuImgJson } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

function newGraph(): BlockGraph {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  onTestFinished(() => graph.close());
  return graph;
}

async function open(spec: object, permissions = operations.resize.image, graph = newGraph()): Promise<Backend> {
  const disk = await Backend.open(graph, spec as never, { user: 'the test', permissions });
  onTestFinished(() => disk.close());
  return disk;
}

/** A file whose every 512 bytes say which they are. */
function numbered(size: number): string {
  const path = join(tempDir(), 'disk');
  const content = Buffer.alloc(size);
  for (let at = 0; at < size; at++) content[at] = (Math.floor(at / 512) % 255) + 1;
  writeFileSync(path, content);
  return path;
}

describe('a window', () => {
  test.each([0, 512, 100, 4096, 5000])('from %i shows its part and nothing else', async (offset) => {
    const path = numbered(20_000);
    const before = readFileSync(path);
    const disk = await open({ driver: 'raw', offset, size: 4096, file: { driver: 'file', filename: path } });
    expect(disk.size).toBe(4096);
    const back = Buffer.alloc(4096);
    await disk.read(0, back);
    expect(back).toEqual(before.subarray(offset, offset + 4096));
    await disk.writev(4000, [Buffer.alloc(50, 255), Buffer.alloc(46, 255)]);
    await disk.zero(0, 100);
    await disk.flush();
    const after = Buffer.from(before).fill(255, offset + 4000, offset + 4096);
    expect(readFileSync(path)).toEqual(after.fill(0, offset, offset + 100));
    expect(() => disk.write(4090, Buffer.alloc(10))).toThrow('outside the disk');
    await expect(disk.truncate(8192)).rejects.toThrow('fixed size');
  });

  test('without a size reaches to the end of the file, and grows with it', async () => {
    const path = numbered(10_000);
    const disk = await open({ driver: 'raw', offset: 512, file: { driver: 'file', filename: path } });
    expect(disk.size).toBe(9728);
    await disk.truncate(20_480);
    expect([disk.size, readFileSync(path).length]).toEqual([20_480, 20_992]);
  });

  test('leaves the rest of its file to others, who may not resize it', async () => {
    const graph = newGraph();
    const file = await openNode(graph, { driver: 'file', filename: numbered(65_536), 'node-name': 'f' });
    graph.hold(file, holder);
    const write = operations.write.image;
    await using _low = await open({ driver: 'raw', size: 4096, file: 'f' }, write, graph);
    await using _high = await open({ driver: 'raw', offset: 4096, size: 4096, file: 'f' }, write, graph);
    await expect(open({ driver: 'raw', file: 'f' }, operations.resize.image, graph)).rejects.toThrow(
      "'resize' is required",
    );
  });
});

describe('a guessed raw image', () => {
  const magic = Buffer.from('QFI\xfb\0\0\0\x03', 'latin1');

  test('is not written a format’s header, whichever way', async () => {
    const path = numbered(65_536);
    const disk = await open({ file: { driver: 'file', filename: path } });
    expect([disk.image.driver.name, disk.image.probed]).toEqual(['raw', true]);
    const sector = Buffer.alloc(4096);
    magic.copy(sector);
    for (const attempt of [
      async () => disk.write(0, sector),
      async () => disk.write(0, magic),
      async () => disk.writev(0, [magic.subarray(0, 3), magic.subarray(3)]),
    ]) {
      await expect(attempt()).rejects.toThrow('writing a qcow2 header');
    }
    // Byte by byte: the last one would make it.
    await disk.write(0, magic.subarray(0, 2));
    await disk.write(3, magic.subarray(3, 4));
    await expect((async () => disk.write(2, magic.subarray(2, 3)))()).rejects.toThrow('writing a qcow2 header');
    expect(await disk.copyRangeTo(4096, disk, 0, 512)).toBe(false);
    await disk.write(512, sector);
    await disk.write(0, Buffer.alloc(512, 1));
  });

  test('may be written it when the format is given', async () => {
    const disk = await open({ driver: 'raw', file: { driver: 'file', filename: numbered(4096) } });
    await disk.write(0, magic);
  });
});

describe('status', () => {
  interface Row {
    readonly start: number;
    readonly length: number;
    readonly data: boolean;
    readonly zero: boolean;
    readonly present: boolean;
    readonly depth: number;
  }

  async function rows(disk: Backend): Promise<Row[]> {
    const found: Row[] = [];
    for (let start = 0; start < disk.size; ) {
      const { length, data, zero, allocated, depth } = await disk.chainStatus(start, disk.size - start);
      const last = found.at(-1);
      const same = last && last.data === data && last.zero === zero && last.present === allocated;
      if (same) found[found.length - 1] = { ...last, length: last.length + length };
      else found.push({ start, length, data, zero, present: allocated, depth });
      start += length;
    }
    return found;
  }

  test.skipIf(peersFor('qemu-img').missing).each([0, 5000, 65_536, 200_000])(
    'of a file with a hole and %i bytes agrees with qemu-img map',
    async (size) => {
      const path = join(tempDir(), 'disk');
      writeFileSync(path, Buffer.alloc(size, 1));
      const disk = await open({
        driver: 'raw',
        file: { driver: 'file', filename: path, discard: 'unmap' },
        discard: 'unmap',
      });
      if (size > 100_000) await disk.discard(65_536, 65_536);
      const theirs = await qemuImgJson<Row[]>(['map', '-U', '-f', 'raw', path]);
      const wanted = theirs
        .filter(({ length }) => length > 0)
        .map(({ start, length, data, zero, present, depth }) => ({
          start,
          length,
          data,
          zero,
          present,
          depth,
        }));
      expect(await rows(disk)).toEqual(wanted);
    },
  );

  test('looks through a format below, and its chain', async () => {
    const zeroes = await open({ driver: 'raw', file: { driver: 'null-co', size: 4096, 'read-zeroes': true } });
    expect(await rows(zeroes)).toEqual([{ start: 0, length: 4096, data: false, zero: true, present: true, depth: 0 }]);
    const data = await open({
      driver: 'raw',
      offset: 512,
      file: { driver: 'raw', file: { driver: 'null-co', size: 4096 } },
    });
    expect(await rows(data)).toEqual([{ start: 0, length: 3584, data: true, zero: false, present: true, depth: 0 }]);
    expect(await data.chainStatus(0, 512)).toMatchObject({ offset: 512, file: { driver: { name: 'null-co' } } });
  });
});
