/**
 * Programs that are killed where they change a file: by what they do and not by a clock, so that it hits them on a quick
 * machine and on a busy one alike. By strace.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Program, programPath } from './cli.ts';
import { tempDir } from './temp.ts';
import { startPeer } from './tracked-child.ts';

/** What changes a file, or makes a change last. */
const CHANGES = ['pwrite64', 'pwritev', 'write', 'fallocate', 'ftruncate', 'copy_file_range', 'fdatasync'];

type Words = readonly [program: Program, ...args: string[]];

/**
 * Run a program to its end, which must be a good one; how many changes of files its busiest thread makes. Threads are
 * counted by themselves, as strace does when it is to hit the one with a number.
 */
export async function changesOf([program, ...args]: Words): Promise<number> {
  const log = join(tempDir(), 'calls');
  const call = ['-f', '--seccomp-bpf', '-o', log, '-e', `trace=${CHANGES.join(',')}`, '-e', 'signal=none'];
  const running = startPeer('strace', [...call, process.execPath, programPath(program), ...args]);
  const { code } = await running.ended();
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with status ${code}: ${running.output()}`);
  const counts = new Map<string, number>();
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const [, thread, name = ''] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread !== undefined && CHANGES.includes(name)) counts.set(thread, (counts.get(thread) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

/** Run a program and kill it as one of its threads is about to make this change of its; whether that came to pass. */
export async function killedAt(change: number, [program, ...args]: Words): Promise<boolean> {
  const inject = `inject=${CHANGES.join(',')}:signal=SIGKILL:when=${change}`;
  const call = ['-f', '--seccomp-bpf', '-o', '/dev/null', '-e', inject];
  const running = startPeer('strace', [...call, process.execPath, programPath(program), ...args]);
  const { signal } = await running.ended();
  return signal !== null;
}
