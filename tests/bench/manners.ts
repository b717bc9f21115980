/** Page-cache manners: what a conversion of a cold source leaves in memory, and what being polite costs. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { advise, countCached, HostFile, pageSize } from '../../src/core/host/index.ts';
import { writeSparseDisk } from './disk.ts';
import { middle, run } from './measure.ts';
import { ourImg } from './programs.ts';

const MIB = 2 ** 20;
/** Made resident before the run, in the middle of the disk. */
const WARM = { offset: 512 * MIB, length: 64 * MIB };

export interface MannersResult {
  /** Share of the cold part of the source that is in memory after a default conversion; target 0.02. */
  readonly left: number;
  /** Share of the part that was in memory before and still is; target 1. */
  readonly kept: number;
  /** Wall time with manners over wall time without; target 1.05. */
  readonly ratio: number;
  readonly polite: number;
  readonly plain: number;
}

/** `folder` must be on a disk, `memory` in memory. */
export async function measureManners(folder: string, memory: string, rounds: number): Promise<MannersResult> {
  const source = join(folder, 'cold.raw');
  const target = join(memory, 'manners.raw');
  const size = 2048 * MIB;
  try {
    writeSparseDisk(source, size, size);
    spawnSync('sync', ['-f', source]);
    const polite: number[] = [];
    const plain: number[] = [];
    let left = 0;
    let kept = 1;
    for (let round = 0; round <= rounds; round++) {
      const order = round % 2 === 0 ? [true, false] : [false, true];
      for (const isPolite of order) {
        await makeCold(source);
        warm(source);
        const before = await resident(source);
        const manners = isPolite ? 'auto' : 'off';
        const { wall } = run(
          [...ourImg, 'convert', `--cache-manners=${manners}`, '-f', 'raw', '-O', 'raw', source, target],
          memory,
        );
        rmSync(target);
        if (isPolite) {
          const after = await resident(source);
          left = Math.max(left, Math.max(0, after.all - before.all) / (size - before.all));
          kept = Math.min(kept, after.warm / before.warm);
        }
        // The first round touches memory that nothing has used yet.
        if (round > 0) (isPolite ? polite : plain).push(wall);
      }
    }
    const [withManners, without] = [middle(polite), middle(plain)];
    return { left, kept, ratio: withManners / without, polite: withManners, plain: without };
  } finally {
    rmSync(source, { force: true });
    rmSync(target, { force: true });
  }
}

function warm(path: string): void {
  const buffer = Buffer.alloc(MIB);
  const fd = openSync(path, 'r');
  for (let at = 0; at < WARM.length; at += MIB) readSync(fd, buffer, 0, MIB, WARM.offset + at);
  closeSync(fd);
}

/** Bytes of the file, and of its warm part, that are in memory. */
async function resident(path: string): Promise<{ all: number; warm: number }> {
  const file = await HostFile.open(path, { readOnly: true });
  try {
    const count = (offset: number, length: number): number => {
      const counts = countCached(file, offset, length);
      if (counts === undefined) throw new Error('this system does not tell what is in memory');
      return counts.cached * pageSize();
    };
    return { all: count(0, file.size), warm: count(WARM.offset, WARM.length) };
  } finally {
    await file.close();
  }
}

/** Drop a file, which has no unwritten pages, from the page cache. */
async function makeCold(path: string): Promise<void> {
  const file = await HostFile.open(path, { readOnly: true });
  await advise(file, 'dontNeed');
  await file.close();
}
