/** What is measured: the same work by us and by the installed qemu-img, and by nbdcopy where it can do it. */
import { changingCases } from './changing-cases.ts';
import type { Files, SourceName } from './files.ts';
import type { ProgramName } from './programs.ts';

/** An image that is put in place anew before each run, since the run changes it. */
export interface FreshCopy {
  readonly of: SourceName;
  readonly at: string;
}

export interface BenchCase {
  readonly name: string;
  /** Wall time of ours over theirs is to be at most this. */
  readonly target: number;
  readonly needs: readonly SourceName[];
  readonly fresh?: readonly FreshCopy[];
  /** Default `img`. */
  readonly program?: ProgramName;
  /** Arguments of the program, and of its peer. */
  readonly ours: readonly string[];
  /** What it reads on standard input. */
  readonly input?: SourceName;
  /** For the ratio, in place of the peer: our own time for other work. */
  readonly against?: readonly string[];
  readonly nbdcopy?: readonly string[];
  /** Rounds unless told. */
  readonly rounds: number;
}

export function benchCases(files: Files): BenchCase[] {
  const { raw, qcow2, target } = files;
  const toQcow2 = ['convert', '-f', 'raw', '-O', 'qcow2'];
  const toRaw = ['convert', '-O', 'raw'];
  const zstd = ['-c', '-o', 'compression_type=zstd'];
  return [
    {
      name: 'raw-raw',
      target: 1,
      needs: ['raw'],
      ours: [...toRaw, '-f', 'raw', raw, target],
      nbdcopy: [raw, target],
      rounds: 5,
    },
    { name: 'raw-qcow2', target: 1, needs: ['raw'], ours: [...toQcow2, raw, target], rounds: 5 },
    { name: 'qcow2-raw', target: 1, needs: ['raw', 'qcow2'], ours: [...toRaw, qcow2, target], rounds: 5 },
    { name: 'compress-zlib', target: 0.45, needs: ['raw'], ours: [...toQcow2, '-c', raw, target], rounds: 1 },
    { name: 'compress-zstd', target: 0.6, needs: ['raw'], ours: [...toQcow2, ...zstd, raw, target], rounds: 2 },
    { name: 'zlib-raw', target: 1, needs: ['raw', 'zlib'], ours: [...toRaw, files.zlib, target], rounds: 3 },
    { name: 'zstd-raw', target: 1, needs: ['raw', 'zstd'], ours: [...toRaw, files.zstd, target], rounds: 3 },
    {
      name: 'compare',
      target: 0.9,
      needs: ['raw', 'qcow2'],
      ours: ['compare', '-f', 'raw', '-F', 'qcow2', raw, qcow2],
      rounds: 5,
    },
    ...requestCases(files),
    ...scriptCases(files),
    ...hugeCases(files),
    ...changingCases(files),
  ];
}

/** Requests of 4 KiB to what is in memory, 64 at a time; and finding out what there is. */
function requestCases({ raw, qcow2 }: Files): BenchCase[] {
  const reads = ['bench', '-c', '500000'];
  return [
    { name: 'bench-raw', target: 1, needs: ['raw'], ours: [...reads, '-f', 'raw', raw], rounds: 5 },
    { name: 'bench-qcow2', target: 1, needs: ['raw', 'qcow2'], ours: [...reads, '-f', 'qcow2', qcow2], rounds: 5 },
    {
      name: 'measure-qcow2',
      target: 1.5,
      needs: ['raw', 'qcow2'],
      ours: ['measure', '-f', 'qcow2', '-O', 'qcow2', qcow2],
      rounds: 9,
    },
    { name: 'measure-raw', target: 1.5, needs: ['raw'], ours: ['measure', '-f', 'raw', '-O', 'qcow2', raw], rounds: 9 },
  ];
}

/** A script of a million reads of 4 KiB that are in memory, at 60 % of the rate or more. */
function scriptCases({ gib }: Files): BenchCase[] {
  const needs = ['gib', 'reads'] as const;
  const reading = { name: 'io-reads', target: 1.67, program: 'io', needs, input: 'reads', rounds: 9 } as const;
  return [{ ...reading, ours: ['-f', 'raw', gib] }];
}

/** An image that is nearly empty takes the time of what is in it: measured against our own time for that alone. */
function hugeCases(files: Files): BenchCase[] {
  const { gib, hugeRaw, hugeQcow2, full, target } = files;
  const alone = ['convert', '-f', 'raw', '-O', 'qcow2', gib, target];
  const work = ['convert', '-f', 'raw', '-O', 'qcow2', hugeRaw, target];
  const fromQcow2 = ['convert', '-f', 'qcow2', '-O', 'qcow2', hugeQcow2, target];
  return [
    { name: '1TiB-raw', target: 1.3, needs: ['gib', 'hugeRaw'], ours: work, against: alone, rounds: 3 },
    {
      name: '1TiB-qcow2',
      target: 1.3,
      needs: ['gib', 'hugeRaw', 'hugeQcow2'],
      ours: fromQcow2,
      against: alone,
      rounds: 3,
    },
    // All of 100 GiB in use, as far as the tables tell.
    { name: 'check-100GiB', target: 1.2, needs: ['full'], ours: ['check', '-f', 'qcow2', full], rounds: 5 },
    {
      name: 'measure-100GiB',
      target: 1.5,
      needs: ['full'],
      ours: ['measure', '-f', 'qcow2', '-O', 'qcow2', full],
      rounds: 5,
    },
  ];
}
