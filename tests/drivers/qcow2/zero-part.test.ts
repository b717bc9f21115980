import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Image } from '../../../src/core/block/driver.ts';
import { edgeOn, hasQemuImg, openMemory, qemuCheck, qemuImg, READ_ONLY, scratch } from './support/harness.ts';
import { MemoryFile } from './support/memory-file.ts';

const dir = scratch('zero-part');
const image = path.join(dir, 'a.qcow2');
const KiB = 1024;
const CLUSTER = 64 * KiB;

function made(options: string, ...rest: string[]): MemoryFile {
  fs.rmSync(image, { force: true });
  qemuImg('create', '-q', '-f', 'qcow2', '-u', '-o', options, ...rest, image, '1M');
  return MemoryFile.load(image);
}

/** Kinds of the first clusters of an image by what its own layer says: 0 zero, d data, - nothing. */
async function kinds(opened: Image, count: number): Promise<string> {
  let text = '';
  for (let index = 0; index < count; index++) {
    const extent = await opened.status?.(index * CLUSTER, CLUSTER, false);
    text += extent?.allocated ? (extent.zero ? '0' : 'd') : '-';
  }
  return text;
}

function sound(file: MemoryFile): void {
  file.save(image);
  const report = qemuCheck(image);
  expect([report['check-errors'], report.corruptions ?? 0, report.leaks ?? 0]).toEqual([0, 0, 0]);
}

describe.skipIf(!hasQemuImg)('zeroing part of a cluster', () => {
  it('makes all of it a zero cluster where the rest is zero already', async () => {
    const file = made('cluster_size=64k');
    const { edge, image: opened } = await openMemory({ file });
    await edge.write(3 * CLUSTER, Buffer.alloc(512, 7));
    await edge.zero(CLUSTER - 1000, CLUSTER + 2000);
    await edge.zero(3 * CLUSTER + 4096, 512);
    expect(await kinds(opened, 4)).toBe('000d');
    const first = Buffer.alloc(1024, 1);
    await edge.read(3 * CLUSTER, first);
    expect([first[0], first[511], first[512]]).toEqual([7, 7, 0]);
    await opened.close();
    sound(file);
  });

  it('takes no cluster in version 2', async () => {
    const file = made('cluster_size=64k,compat=0.10');
    const { edge, image: opened } = await openMemory({ file });
    await edge.zero(100, 1000);
    expect(await kinds(opened, 2)).toBe('--');
    await opened.close();
    sound(file);
  });

  it('writes where the backing file holds data in the rest, and only there', async () => {
    const base = path.join(dir, 'base.raw');
    fs.writeFileSync(base, Buffer.alloc(CLUSTER + 512, 5));
    const backing = edgeOn(MemoryFile.load(base), READ_ONLY, 'backing');
    const file = made(`cluster_size=64k,backing_file=${base},backing_fmt=raw`);
    const { edge, image: opened } = await openMemory({ file, backing });
    await edge.zero(0, 4096);
    await edge.zero(CLUSTER, 4096);
    await edge.zero(2 * CLUSTER + 512, 512);
    expect(await kinds(opened, 3)).toBe('d00');
    const content = Buffer.alloc(3 * CLUSTER);
    await edge.read(0, content);
    expect([content[4095], content[4096], content[CLUSTER - 1], content[CLUSTER]]).toEqual([0, 5, 5, 0]);
    await opened.close();
  });

  it.each(['cluster_size=64k', 'cluster_size=64k,extended_l2=on'])(
    'keeps what is written to the same cluster meanwhile, with %s',
    async (options) => {
      const file = made(options);
      const { edge, image: opened } = await openMemory({ file });
      file.delay = () => 1;
      await Promise.all([
        edge.write(0, Buffer.alloc(512, 1)),
        edge.zero(1024, 512),
        edge.write(512, Buffer.alloc(512, 2)),
        edge.zero(CLUSTER + 512, 512),
        edge.write(CLUSTER, Buffer.alloc(512, 3)),
      ]);
      const content = Buffer.alloc(CLUSTER + 1024);
      await edge.read(0, content);
      expect([content[0], content[512], content[1024], content[CLUSTER], content[CLUSTER + 512]]).toEqual([
        1, 2, 0, 3, 0,
      ]);
      await opened.close();
      sound(file);
    },
  );
});
