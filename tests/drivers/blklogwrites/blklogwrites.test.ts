/** What blklogwrites records, read by an independent reader, and by QEMU. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Flag } from '../../../src/core/block/driver.ts';
import type { NodeSpec } from '../../../src/core/block/graph/spec.ts';
import { openDisk, readDisk } from '../../support/disk.ts';
import { MemoryDisk, memoryEntry } from '../../support/memory-driver.ts';
import { peerOutput, peersFor } from '../../support/peers.ts';
import { Random, seeds } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';
import { readLog, replay } from './read-log.ts';

const K = 1024;
const SIZE = 256 * K;

function files(options: Record<string, unknown> = {}): { spec: NodeSpec; log: string; disk: string } {
  const folder = tempDir();
  const [log, disk] = [join(folder, 'log'), join(folder, 'disk')];
  writeFileSync(log, '');
  writeFileSync(disk, Buffer.alloc(SIZE));
  const file = (filename: string) => ({ driver: 'file', filename });
  return { spec: { driver: 'blklogwrites', file: file(disk), log: file(log), ...options }, log, disk };
}

const open = (spec: NodeSpec) => openDisk(spec, { writable: true, modes: { unmap: true } });

describe('blklogwrites', () => {
  test('records each kind of change as it is', async () => {
    const { spec, log } = files();
    const disk = await open(spec);
    await disk.write(4 * K, Buffer.alloc(K, 1));
    await disk.writev(0, [Buffer.alloc(512, 2), Buffer.alloc(512, 3)], Flag.FUA);
    await disk.zero(8 * K, 4 * K);
    await disk.discard(16 * K, 8 * K);
    await disk.flush();
    await disk.write(100, Buffer.alloc(10, 4));
    await disk.close();
    const { entries, end } = readLog(readFileSync(log));
    const lines = entries.map(({ kind, fua, offset, length }) => `${kind} ${offset}+${length}${fua ? ' fua' : ''}`);
    expect(lines.slice(0, 6)).toEqual([
      `write ${4 * K}+${K}`,
      `write 0+${K} fua`,
      `write ${8 * K}+${4 * K}`,
      `discard ${16 * K}+${8 * K}`,
      'flush 0+0',
      'write 0+512',
    ]);
    expect(entries[5]?.data.subarray(99, 111)).toEqual(Buffer.from([2, ...Array(10).fill(4), 2]));
    expect(end).toBeGreaterThanOrEqual(readFileSync(log).length - 512);
  });

  test.each(seeds(6))('gives the disk back when replayed, seed %i', async (seed) => {
    const random = new Random(seed);
    const sectorSize = random.pick([512, 4096]);
    const {
      spec,
      log,
      disk: path,
    } = files({
      'log-sector-size': sectorSize,
      'log-super-update-interval': random.pick([1, 7, 4096]),
    });
    const disk = await open(spec);
    const places = random.shuffled(Array.from({ length: 16 }, (_, index) => index * 16 * K));
    await Promise.all(
      places.map(async (place) => {
        for (let count = 0; count < 6; count++) {
          const offset = place + random.below(8 * K);
          const length = random.between(1, 8 * K);
          const draw = random.below(5);
          if (draw === 0) await disk.zero(offset, length);
          else if (draw === 1) await disk.flush();
          else if (draw === 2) await disk.discard(offset, length);
          else await disk.write(offset, random.bytes(length), draw === 3 ? Flag.FUA : 0);
        }
      }),
    );
    await disk.close();
    const read = readLog(readFileSync(log));
    expect(read.sectorSize).toBe(sectorSize);
    expect(replay(read.entries, Buffer.alloc(SIZE)).equals(readFileSync(path))).toBe(true);
  });

  test('has a flush stand before what completes while it runs, and after what completed before', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const memory = new MemoryDisk({ size: SIZE, on: (operation) => (operation === 'flush' ? held : undefined) });
    const { log } = files();
    const spec = {
      driver: 'blklogwrites',
      file: { driver: 'memory', disk: 'a' },
      log: { driver: 'file', filename: log },
    };
    const disk = await openDisk(spec, { writable: true, extraDrivers: [memoryEntry(new Map([['a', memory]]))] });
    await disk.write(0, Buffer.alloc(512, 1));
    const flush = Promise.resolve(disk.flush());
    await disk.write(512, Buffer.alloc(512, 2));
    release();
    await flush;
    // The superblock counts what the flush has made stable, without waiting for the end.
    expect(readLog(readFileSync(log)).entries.map(({ kind, offset }) => `${kind} ${offset}`)).toEqual([
      'write 0',
      'flush 0',
      'write 512',
    ]);
    await disk.close();
  });

  test('counts entries now and then without a flush', async () => {
    const { spec, log } = files({ 'log-super-update-interval': 3 });
    const disk = await open(spec);
    for (let count = 0; count < 7; count++) await disk.write(count * 512, Buffer.alloc(512, count));
    expect(readLog(readFileSync(log)).entries).toHaveLength(6);
    await disk.close();
    expect(readLog(readFileSync(log)).entries).toHaveLength(8);
  });

  test('goes on with a log that exists', async () => {
    const { spec, log } = files({ 'log-sector-size': 4096 });
    const first = await open(spec);
    await first.write(0, Buffer.alloc(4096, 1));
    await first.discard(4096, 8192);
    await first.close();
    const { 'log-sector-size': _, ...again } = spec;
    const second = await open({ ...again, 'log-append': true });
    await second.write(8192, Buffer.alloc(4096, 2));
    await second.close();
    const { entries, sectorSize } = readLog(readFileSync(log));
    expect(sectorSize).toBe(4096);
    expect(entries.filter(({ kind }) => kind === 'write').map(({ offset }) => offset)).toEqual([0, 8192]);
    await expect(open({ ...spec, 'log-append': true })).rejects.toThrow('exclude each other');
  });

  test('refuses what is no log to go on with', async () => {
    const { spec, log } = files({ 'log-append': true });
    const disk = await open(spec);
    await disk.write(0, Buffer.alloc(SIZE, 1));
    await disk.close();
    const good = readFileSync(log);
    const damaged = (change: (log: Buffer) => void): Promise<unknown> => {
      const bad = Buffer.from(good);
      change(bad);
      writeFileSync(log, bad);
      return open(spec);
    };
    await expect(damaged((bad) => bad.writeUInt8(0, 0))).rejects.toThrow('is not a log: its magic is 0x');
    await expect(damaged((bad) => bad.writeUInt8(9, 8))).rejects.toThrow('has version 9, only 1 is known');
    await expect(damaged((bad) => bad.writeUInt32LE(513, 24))).rejects.toThrow(
      'has a sector size of 513 bytes, which is no power of two between 512 and 8 MiB',
    );
    await expect(damaged((bad) => bad.writeUInt8(0xff, 512 + 16))).rejects.toThrow('entry 0 has unknown flags 0xff');
    // Where the next entry would go is no offset, or lies somewhere else.
    for (const sectors of [1n << 20n, 1n << 40n, (1n << 53n) - 1n]) {
      const lies = damaged((bad) => bad.writeBigUInt64LE(sectors, 512 + 8));
      await expect(lies).rejects.toThrow(/^log '.*log' of \d+ bytes ends within the data of entry 0 of \d/);
    }
    await expect(damaged((bad) => bad.writeBigUInt64LE(1n << 50n, 16))).rejects.toThrow(/ends before entry \d of/);
    await expect(damaged((bad) => bad.writeBigUInt64LE(1n << 60n, 16))).rejects.toThrow(
      /^log '.*': log superblock: entries/,
    );
    truncateSync(log, 20);
    await expect(open(spec)).rejects.toThrow("log' of 20 bytes is too short for a log");
    await expect(open(files({ 'log-sector-size': 1000 }).spec)).rejects.toThrow('must be a power of two');
  });
});

describe.skipIf(peersFor('qemu-io').missing)('QEMU', () => {
  test('writes the same log for the same commands, and goes on with ours', async () => {
    const commands = ['-c', 'write -P 5 0 64k', '-c', 'flush', '-c', 'discard 32k 32k', '-c', 'write -z 128k 8k'];
    const theirs = files();
    const name = (at: { disk: string; log: string }, more = '') =>
      `driver=blklogwrites,file.filename=${at.disk},log.filename=${at.log}${more}`;
    await peerOutput('qemu-io', ['--image-opts', name(theirs), ...commands]);
    const ours = files();
    const disk = await open(ours.spec);
    await disk.write(0, Buffer.alloc(64 * K, 5));
    await disk.flush();
    await disk.discard(32 * K, 32 * K);
    await disk.zero(128 * K, 8 * K);
    await disk.close();
    const entries = (path: string) =>
      readLog(readFileSync(path)).entries.map(({ kind, offset, length, data }) => ({
        kind,
        offset,
        length,
        data: data.toString('latin1'),
      }));
    const kept = (path: string) => entries(path).filter(({ kind }) => kind !== 'flush');
    expect(kept(ours.log)).toEqual(kept(theirs.log));
    await peerOutput('qemu-io', ['--image-opts', name(ours, ',log-append=on'), '-c', 'write -P 6 4k 4k']);
    expect(kept(ours.log).at(-1)).toMatchObject({ kind: 'write', offset: 4 * K, length: 4 * K });
    const again = await openDisk({ driver: 'file', filename: ours.disk });
    expect(replay(readLog(readFileSync(ours.log)).entries, Buffer.alloc(SIZE)).equals(await readDisk(again))).toBe(
      true,
    );
    await again.close();
  });
});
