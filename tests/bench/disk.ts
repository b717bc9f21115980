/** The disk that is measured: data of several kinds in pieces of many sizes, with holes between. */
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { Random } from '../support/random.ts';

const MIB = 2 ** 20;
const KIB = 1024;
const POOL = 16 * MIB;

/**
 * Write a raw disk of `size` bytes, of which about three eighths are data: 35 % that does not compress, 45 % text,
 * 20 % records with many zeroes in them.
 */
export function writeMixedDisk(path: string, size: number): void {
  const random = new Random(1);
  const pools = [randomPool(random), textPool(random), recordPool(random)];
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, size);
    for (let at = 0; at < size; ) {
      const length = Math.min((4 + random.magnitude(2044)) * 4 * KIB, size - at, POOL / 2);
      const pool = pools[random.chance(0.35) ? 0 : random.chance(0.7) ? 1 : 2];
      const start = random.below((POOL - length) / 4096) * 4096;
      if (pool !== undefined) writeSync(fd, pool, start, length, at);
      // Holes are about five thirds as long, so that three eighths are data.
      at += length + Math.round((length * 5) / 3 / 4096) * 4096;
    }
  } finally {
    closeSync(fd);
  }
}

function randomPool(random: Random): Buffer {
  return random.bytes(POOL);
}

/** Words of a language that does not exist, some much more frequent than others. */
function textPool(random: Random): Buffer {
  const syllables = 'ka no ri ta mo se lu wen do ist er an che po vi sal tor mi ge un'.split(' ');
  const words = Array.from({ length: 4000 }, () =>
    Array.from({ length: random.between(1, 4) }, () => random.pick(syllables)).join(''),
  );
  const pool = Buffer.alloc(POOL, 0x20);
  for (let at = 0; at < POOL; ) {
    const word = words[Math.min(random.magnitude(3999), 3999)] ?? '';
    at += pool.write(random.chance(0.1) ? `${word}.\n` : `${word} `, at, 'latin1') || 1;
  }
  return pool;
}

/** Like tables of a database: a counter, a few random bytes, zeroes. */
function recordPool(random: Random): Buffer {
  const pool = Buffer.alloc(POOL);
  for (let at = 0; at < POOL; at += 128) {
    pool.writeUInt32LE(at >>> 7, at);
    random.bytes(24).copy(pool, at + 8);
  }
  return pool;
}

/** A raw disk of `size` bytes that is empty but for `data` bytes near its start and its end. */
export function writeSparseDisk(path: string, size: number, data: number): void {
  const pool = textPool(new Random(2));
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, size);
    for (let done = 0; done < data; done += POOL) {
      const length = Math.min(POOL, data - done);
      writeSync(fd, pool, 0, length, done < data / 2 ? done : size - data + done);
    }
  } finally {
    closeSync(fd);
  }
}

/** A script for `io`: a million reads of 4 KiB, at random in the first 64 MiB. */
export function writeReads(path: string): void {
  const random = new Random(2);
  const lines = Array.from({ length: 1e6 }, () => `read -q ${random.below(16384) * 4096} 4096\n`);
  writeFileSync(path, lines.join(''));
}
