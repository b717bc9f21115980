/** Running a program and seeing what it took. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Cost {
  /** Seconds from start to end. */
  readonly wall: number;
  /** Seconds of processor time, user and system. */
  readonly cpu: number;
  /** Peak resident memory in bytes; undefined where it cannot be had. */
  readonly memory: number | undefined;
}

const TIME = '/usr/bin/time';

/** Run to the end, with `input` on standard input; GNU time, where installed, says what the child took. */
export function run(words: readonly string[], scratch: string, input?: string): Cost {
  const report = join(scratch, 'time.txt');
  const timed = existsSync(TIME) ? [TIME, '-q', '-f', '%U %S %M', '-o', report, ...words] : underBash(words, report);
  const [program = '', ...args] = timed;
  const from = openSync(input ?? '/dev/null', 'r');
  const begin = performance.now();
  const result = spawnSync(program, args, { stdio: [from, 'ignore', 'pipe'], encoding: 'utf8' });
  const wall = (performance.now() - begin) / 1000;
  closeSync(from);
  if (result.status !== 0) {
    throw new Error(`${words.join(' ')} ended with ${result.status ?? result.signal}: ${result.stderr}`);
  }
  const [user = 0, system = 0, kib] = readFileSync(report, 'utf8').trim().split(/\s+/).map(Number);
  return { wall, cpu: user + system, memory: kib === undefined ? undefined : kib * 1024 };
}

/** Without GNU time: bash's own, which does not know about memory. */
function underBash(words: readonly string[], report: string): string[] {
  const script = `TIMEFORMAT='%U %S'; exec 3>"$1"; shift; { time "$@" 2>&4; } 4>&2 2>&3`;
  return ['bash', '-c', script, 'bash', report, ...words];
}

/** The middle value of each figure. */
export function median(costs: readonly Cost[]): Cost {
  const memory = costs.flatMap((cost) => (cost.memory === undefined ? [] : [cost.memory]));
  return {
    wall: middle(costs.map((cost) => cost.wall)),
    cpu: middle(costs.map((cost) => cost.cpu)),
    memory: memory.length === 0 ? undefined : Math.max(...memory),
  };
}

export function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[half]];
  return (low + high) / 2;
}
