/**
 * NBD servers side by side: ours, qemu-nbd and nbdkit on one raw or qcow2 image and a unix socket, under fio's nbd engine.
 * They take turns, after a longer round that does not count: it compiles our code. Printed are medians of requests per
 * second, and of processor time per request, which says more on a busy machine.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isListening } from '../support/listening.ts';
import { findPeer } from '../support/peers.ts';
import { middle } from './measure.ts';

interface Load {
  readonly name: string;
  readonly pattern: 'randread' | 'randwrite' | 'read' | 'write';
  readonly size: string;
  readonly depth: number;
  readonly connections: number;
  /** Rate of ours over that of qemu-nbd is to be at least this. */
  readonly target: number;
}

const LOADS: readonly Load[] = [
  { name: 'random-read', pattern: 'randread', size: '4k', depth: 16, connections: 1, target: 2 },
  { name: 'random-write', pattern: 'randwrite', size: '4k', depth: 16, connections: 1, target: 1.5 },
  { name: 'one-at-a-time', pattern: 'randread', size: '4k', depth: 1, connections: 1, target: 1 / 1.2 },
  { name: 'long-read', pattern: 'read', size: '256k', depth: 8, connections: 1, target: 1 },
  { name: 'long-write', pattern: 'write', size: '256k', depth: 8, connections: 1, target: 1 },
  { name: '16-connections', pattern: 'randread', size: '4k', depth: 16, connections: 16, target: 2 },
  { name: '64-connections-32M', pattern: 'read', size: '32m', depth: 1, connections: 64, target: 1 },
];

const FORMATS = ['raw', 'qcow2'] as const;
type Format = (typeof FORMATS)[number];

interface Server {
  readonly name: string;
  readonly socket: string;
  readonly process: ChildProcess;
}

interface Sample {
  readonly rate: number;
  /** Microseconds of processor time for each request. */
  readonly cpu: number;
}

/** Names of what {@link benchNbd} measures. */
export const nbdNames = FORMATS.flatMap((format) => LOADS.map(({ name }) => `nbd-${format}-${name}`));

/** @param images the same content in each format; copies of it are written to */
export async function benchNbd(
  images: Readonly<Record<Format, string>>,
  folder: string,
  options: { readonly rounds: number; isWanted(name: string): boolean; print(line: string): void },
): Promise<void> {
  const fio = findPeer('fio');
  const isAny = nbdNames.some((name) => options.isWanted(name));
  if (!isAny) return;
  if (fio === undefined) return options.print('nbd: left out, since fio is not installed');
  for (const format of FORMATS) {
    if (!LOADS.some(({ name }) => options.isWanted(`nbd-${format}-${name}`))) continue;
    const servers = await start(format, images[format], folder);
    try {
      for (const load of LOADS) {
        const name = `nbd-${format}-${load.name}`;
        if (options.isWanted(name)) options.print(line(name, load, measure(fio, servers, load, options.rounds)));
      }
      for (const { name, process } of servers) options.print(`${name}, ${format}: peak memory ${peak(process)} MiB`);
    } finally {
      for (const { name, process } of servers) {
        process.kill();
        rmSync(join(folder, `${name}-${format}.img`), { force: true });
      }
    }
  }
}

async function start(format: Format, image: string, folder: string): Promise<Server[]> {
  const qemuNbd = findPeer('qemu-nbd');
  const nbdkit = format === 'raw' ? findPeer('nbdkit') : undefined;
  const path = (name: string) => join(folder, `${name}-${format}.sock`);
  const ours = [process.execPath, join(process.cwd(), 'bin', 'nbd')];
  // Each has an image of its own: two programs do not write to one qcow2 image.
  const own = (name: string) => {
    const copy = join(folder, `${name}-${format}.img`);
    copyFileSync(image, copy);
    return copy;
  };
  const nbd = (name: string) => ['-k', path(name), '-f', format, '-t', '-e', '0', '-x', '', own(name)];
  const lines: (readonly [string, readonly string[]])[] = [['ours', [...ours, ...nbd('ours')]]];
  if (qemuNbd !== undefined) lines.push(['qemu-nbd', [qemuNbd, ...nbd('qemu-nbd')]]);
  if (nbdkit !== undefined) lines.push(['nbdkit', [nbdkit, '-f', '-U', path('nbdkit'), 'file', own('nbdkit')]]);
  const servers = lines.map(([name, [program = '', ...words]]) => {
    return { name, socket: path(name), process: spawn(program, words, { stdio: 'ignore' }) };
  });
  for (const { socket } of servers) for (let tries = 0; tries < 200 && !isListening(socket); tries++) await delay(50);
  return servers;
}

function measure(fio: string, servers: readonly Server[], load: Load, rounds: number): Map<string, Sample[]> {
  const samples = new Map<string, Sample[]>(servers.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const server of servers) {
      const sample = once(fio, server, load, round === 0 ? 3 : 1);
      if (round > 0) samples.get(server.name)?.push(sample);
    }
  }
  return samples;
}

function once(fio: string, { socket, process }: Server, load: Load, seconds: number): Sample {
  const words = ['--name=bench', '--ioengine=nbd', `--uri=nbd+unix:///?socket=${socket}`, '--thread', '--size=512m'];
  words.push(`--rw=${load.pattern}`, `--bs=${load.size}`, `--iodepth=${load.depth}`, `--numjobs=${load.connections}`);
  words.push('--time_based', `--runtime=${seconds}`, '--group_reporting', '--norandommap', '--output-format=json');
  const before = processorTime(process);
  const text = execFileSync(fio, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 26 });
  const spent = processorTime(process) - before;
  const report = JSON.parse(text.slice(text.indexOf('{'))) as {
    jobs: Record<string, { iops: number; total_ios: number }>[];
  };
  const result = report.jobs[0]?.[load.pattern.endsWith('read') ? 'read' : 'write'];
  if (result === undefined) throw new Error('fio reports nothing');
  return { rate: result.iops, cpu: spent / Math.max(1, result.total_ios) };
}

/** Microseconds of a tick of the clock that counts processor time (USER_HZ is 100 on every Linux). */
const TICK = 10_000;

/** Of all threads, also of those that have ended, in microseconds: fields 14 and 15 of proc_pid_stat(5). */
function processorTime({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

function peak({ pid }: ChildProcess): string {
  const [, kib = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (Number(kib) / 1024).toFixed(0);
}

function line(name: string, { target }: Load, samples: ReadonlyMap<string, readonly Sample[]>): string {
  const rate = (server: string) => middle((samples.get(server) ?? []).map((sample) => sample.rate));
  const parts = [...samples].map(([server, list]) => {
    return `${server} ${rate(server).toFixed(0)}/s ${middle(list.map(({ cpu }) => cpu)).toFixed(1)} us`;
  });
  const ratio = samples.has('qemu-nbd') ? rate('ours') / rate('qemu-nbd') : undefined;
  const verdict =
    ratio === undefined ? 'qemu-nbd is missing' : `ratio ${ratio.toFixed(2)}, target >= ${target.toFixed(2)}`;
  return `${name}: ${parts.join(', ')}: ${verdict}${ratio === undefined ? '' : ratio >= target ? ': ok' : ': miss'}`;
}
