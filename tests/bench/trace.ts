/**
 * What recording a trace costs where it is felt most: commands of `io` that read 4 KiB each from a file that is cached.
 * Whole runs of the program differ by a fifth for no reason of ours, so recorded reads and others take turns within one
 * (`traced-reads.ts`), in several processes since V8 does not compile the same code the same way each time. Printed is the
 * median ratio of neighbours, of all of them.
 */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { middle } from './measure.ts';

export const TRACE = 'trace';
const ROUNDS = 5;
const SIZE = 16 << 20;
const TARGET = 1.05;

/** Nanoseconds of a read in two neighbouring pieces. */
interface Pair {
  readonly plain: number;
  readonly traced: number;
}

export function benchTrace(folder: string, rounds = ROUNDS, print: (line: string) => void): void {
  const image = join(folder, 'trace.raw');
  const trace = join(folder, 'trace.out');
  writeFileSync(image, randomFillSync(Buffer.allocUnsafe(SIZE)));
  const program = join(dirname(process.argv[1] ?? ''), 'traced-reads.mjs');
  const pairs: Pair[] = [];
  const ofEach: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const some = JSON.parse(execFileSync(process.execPath, [program, image, trace], { encoding: 'utf8' })) as Pair[];
    pairs.push(...some);
    ofEach.push(ratio(some).toFixed(3));
    rmSync(trace);
  }
  rmSync(image);
  const plain = middle(pairs.map((pair) => pair.plain));
  const added = middle(pairs.map((pair) => pair.traced - pair.plain));
  const verdict = ratio(pairs) < TARGET ? 'ok' : 'miss';
  print(
    `${TRACE}: ${added.toFixed(0)} ns for a read of ${plain.toFixed(0)} ns; ratio ${ratio(pairs).toFixed(3)} ` +
      `(${ofEach.join(', ')}), target < ${TARGET}: ${verdict}`,
  );
}

function ratio(pairs: readonly Pair[]): number {
  return middle(pairs.map(({ plain, traced }) => traced / plain));
}
