/**
 * What keeping accounts costs: small reads that complete at once, with accounts and without, in processes that take turns.
 * Printed are nanoseconds of our own code for each read in the least disturbed process, and what accounts add to that as a
 * part of the whole cost of a read of 4 KiB from a file that is cached. They are few beside what other work on the machine
 * adds, which is never less than nothing: so the least of many, not the median.
 */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './measure.ts';
import { ourImg } from './programs.ts';

export const ACCOUNTS = 'accounts';
const ROUNDS = 9;
const SIZE = 16 << 20;
const TARGET = 0.02;

/** Nanoseconds of a read: our own code's, and with what the system does. */
interface Sample {
  readonly ownTime: number;
  readonly whole: number;
}

export function benchAccounts(folder: string, rounds = ROUNDS, print: (line: string) => void): void {
  const raw = join(folder, 'accounts.raw');
  const qcow2 = join(folder, 'accounts.qcow2');
  writeFileSync(raw, randomFillSync(Buffer.allocUnsafe(SIZE)));
  run([...ourImg, 'convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2], folder);
  for (const [format, image] of [
    ['null-co', raw],
    ['raw', raw],
    ['qcow2', qcow2],
  ] as const) {
    const on: Sample[] = [];
    const off: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      on.push(once(format, image, 'on'));
      off.push(once(format, image, 'off'));
    }
    print(line(format, on, off));
  }
  rmSync(raw);
  rmSync(qcow2);
}

function once(format: string, image: string, accounts: 'on' | 'off'): Sample {
  const program = join(dirname(process.argv[1] ?? ''), 'cached-reads.mjs');
  return JSON.parse(execFileSync(process.execPath, [program, format, image, accounts], { encoding: 'utf8' })) as Sample;
}

function line(format: string, on: readonly Sample[], off: readonly Sample[]): string {
  const own = (samples: readonly Sample[]) => Math.min(...samples.map(({ ownTime }) => ownTime));
  const added = own(on) - own(off);
  const text = `${ACCOUNTS}, ${format}: ${own(on).toFixed(1)} ns with, ${own(off).toFixed(1)} ns without, per read`;
  if (format === 'null-co') return text;
  const whole = Math.min(...off.map((sample) => sample.whole));
  const part = added / whole;
  const verdict = part < TARGET ? 'ok' : 'miss';
  return `${text}; ${(part * 100).toFixed(2)} % of a cached one of ${whole.toFixed(0)} ns, target < ${TARGET * 100} %: ${verdict}`;
}
