/**
 * Random operations, up to 16 in flight, over random layouts, against a plain disk in memory; afterwards
 * qemu-img must find the image sound and its content the same.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
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
import { type Layout, runModel } from './support/model.ts';

const dir = scratch('model');

const layouts: Layout[] = [
  { name: 'default', options: '', size: 8 << 20 },
  { name: 'version 2', options: 'compat=0.10', size: 8 << 20 },
  { name: 'cluster 512', options: 'cluster_size=512', size: 2 << 20 },
  { name: 'cluster 2M', options: 'cluster_size=2M', size: 24 << 20 },
  { name: 'cluster 4k, refcount 1', options: 'cluster_size=4k,refcount_bits=1', size: 4 << 20 },
  { name: 'cluster 1k, refcount 64', options: 'cluster_size=1k,refcount_bits=64', size: 4 << 20 },
  {
    name: 'cluster 512, refcount 64: the refcount table grows',
    options: 'cluster_size=512,refcount_bits=64',
    size: 3 << 20,
  },
  { name: 'cluster 512, refcount 2', options: 'cluster_size=512,refcount_bits=2', size: 1 << 20 },
  { name: 'extended', options: 'extended_l2=on,cluster_size=16k', size: 4 << 20 },
  { name: 'extended with backing', options: 'extended_l2=on,cluster_size=64k', size: 8 << 20, backing: 6 << 20 },
  { name: 'backing', options: 'cluster_size=4k', size: 4 << 20, backing: 3 << 20 },
  { name: 'backing, version 2', options: 'cluster_size=4k,compat=0.10', size: 4 << 20, backing: 4 << 20 },
  { name: 'lazy refcounts', options: 'lazy_refcounts=on,cluster_size=4k', size: 4 << 20 },
  { name: 'zstd', options: 'compression_type=zstd', size: 4 << 20 },
  { name: 'data file', options: 'cluster_size=4k', size: 4 << 20, dataFile: true },
  { name: 'raw data file', options: 'cluster_size=4k', size: 4 << 20, dataFile: true, raw: true },
  { name: 'data file, extended', options: 'cluster_size=16k,extended_l2=on', size: 4 << 20, dataFile: true },
  { name: 'snapshots', options: 'cluster_size=4k', size: 4 << 20, snapshot: true },
  { name: 'snapshots, extended', options: 'cluster_size=16k,extended_l2=on', size: 4 << 20, snapshot: true },
  { name: 'discard-no-unref', options: 'cluster_size=4k', size: 4 << 20, runtime: { 'discard-no-unref': true } },
  {
    name: 'tiny caches',
    options: 'cluster_size=4k',
    size: 32 << 20,
    runtime: {
      'l2-cache-size': 1024,
      'l2-cache-entry-size': 512,
      'refcount-cache-size': 16384,
      'pass-discard-other': true,
    },
  },
  { name: 'odd size', options: 'cluster_size=64k', size: (5 << 20) + 1536 },
  { name: 'preallocated', options: 'preallocation=metadata,cluster_size=16k', size: 4 << 20 },
];

const seeds = Number(process.env.MODEL_SEEDS ?? 1);

describe.skipIf(!hasQemuImg)('random operations', () => {
  for (const layout of layouts) {
    for (let seed = 1; seed <= seeds; seed++) {
      it(`${layout.name}, seed ${seed}`, { timeout: 60_000 }, async () => {
        await check(layout, seed + Number(process.env.MODEL_BASE ?? 0));
      });
    }
  }
});

async function check(layout: Layout, seed: number): Promise<void> {
  const random = randomFrom(seed * 7919 + layout.name.length);
  const base = path.join(dir, `base-${seed}.raw`);
  const top = path.join(dir, `top-${seed}.qcow2`);
  const data = path.join(dir, `data-${seed}.raw`);
  for (const file of [base, top, data]) fs.rmSync(file, { force: true });
  const disk = Buffer.alloc(layout.size);
  if (layout.backing) {
    for (let at = 0; at < layout.backing; at += 4096) disk.fill(random(4) === 0 ? 0 : 1 + random(255), at, at + 4096);
    fs.writeFileSync(base, disk.subarray(0, layout.backing));
  }
  const options = [layout.options];
  if (layout.backing) options.push(`backing_file=${base},backing_fmt=raw`);
  if (layout.dataFile) options.push(`data_file=${data}${layout.raw ? ',data_file_raw=on' : ''}`);
  qemuImg(
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    options.filter(Boolean).join(',') || 'compat=1.1',
    top,
    String(layout.size),
  );
  if (layout.snapshot) {
    const io = path.join(dir, 'fill.raw');
    for (let at = 0; at < layout.size / 2; at += 8192) disk.fill(1 + random(255), at, at + 8192);
    fs.writeFileSync(io, disk);
    qemuImg('convert', '-n', '-f', 'raw', '-O', 'qcow2', io, top);
    qemuImg('snapshot', '-c', 'one', top);
  }
  const file = MemoryFile.load(top);
  const dataFile = layout.dataFile ? MemoryFile.load(data) : undefined;
  const backing = layout.backing ? edgeOn(MemoryFile.load(base), READ_ONLY, 'backing') : undefined;
  for (const slow of [file, dataFile]) if (slow) slow.delay = () => (random(3) === 0 ? 1 + random(3) : 0);
  const setup = {
    file,
    ...(backing ? { backing } : {}),
    ...(dataFile ? { dataFile } : {}),
    ...(layout.runtime ? { options: layout.runtime } : {}),
  };
  for (let round = 0; round < 2; round++) {
    const opened = await openMemory(setup);
    await runModel({ edge: opened.edge, model: disk, random, layout, steps: 250 });
    await opened.edge.flush();
    await opened.image.close();
  }
  for (const slow of [file, dataFile]) if (slow) slow.delay = () => 0;
  const reopened = await openMemory({ ...setup, modes: READ_ONLY });
  const content = Buffer.alloc(layout.size);
  await reopened.edge.read(0, content);
  expect(content.compare(disk), firstDifference(content, disk)).toBe(0);
  await reopened.image.close();
  file.save(top);
  dataFile?.save(data);
  if (dataFile && layout.raw) {
    const raw = Buffer.alloc(layout.size);
    dataFile.peek(0, raw);
    expect(raw.compare(disk), `raw view: ${firstDifference(raw, disk)}`).toBe(0);
  }
  const report = qemuCheck(top);
  expect(report).toMatchObject({ 'check-errors': 0 });
  expect([report.corruptions ?? 0, report.leaks ?? 0]).toEqual([0, 0]);
  const flat = path.join(dir, `flat-${seed}.raw`);
  fs.writeFileSync(flat, disk);
  qemuImg('compare', '-f', 'qcow2', '-F', 'raw', top, flat);
  if (layout.snapshot) {
    qemuImg('snapshot', '-a', 'one', top);
    expect(qemuCheck(top).corruptions ?? 0).toBe(0);
    qemuImg('compare', '-f', 'qcow2', '-F', 'raw', top, path.join(dir, 'fill.raw'));
  }
}

function firstDifference(a: Uint8Array, b: Uint8Array): string {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? 'no difference' : `first difference at ${at}: ${a[at]} instead of ${b[at]}`;
}
