/**
 * NBD servers side by side: ours, qemu-nbd and nbdkit on one raw or qcow2 image and a unix socket, under fio's nbd engine.
 * They take turns, after a longer round that does not count: it compiles our code. Printed are medians of requests per
 * second, and of processor time per request, which says more on a busy machine.
 */

import { execFileSync } from 'node:child_process';
import { findPeer } from '../support/peers.ts';
import { middle } from './measure.ts';
import { peakMemory, processorTime, type Server, startServers, stopServers } from './nbd-servers.ts';

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
    const servers = await startServers({ format }, images[format], folder);
    try {
      for (const load of LOADS) {
        const name = `nbd-${format}-${load.name}`;
        if (options.isWanted(name)) options.print(line(name, load, measure(fio, servers, load, options.rounds)));
      }
      for (const server of servers) options.print(`${server.name}, ${format}: peak memory ${peakMemory(server)} MiB`);
    } finally {
      await stopServers(servers);
    }
  }
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

function once(fio: string, server: Server, load: Load, seconds: number): Sample {
  const words = [
    '--name=bench',
    '--ioengine=nbd',
    `--uri=nbd+unix:///?socket=${server.socket}`,
    '--thread',
    '--size=512m',
  ];
  words.push(`--rw=${load.pattern}`, `--bs=${load.size}`, `--iodepth=${load.depth}`, `--numjobs=${load.connections}`);
  words.push('--time_based', `--runtime=${seconds}`, '--group_reporting', '--norandommap', '--output-format=json');
  const before = processorTime(server);
  const text = execFileSync(fio, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 26 });
  const spent = processorTime(server) - before;
  const report = JSON.parse(text.slice(text.indexOf('{'))) as {
    jobs: Record<string, { iops: number; total_ios: number }>[];
  };
  const result = report.jobs[0]?.[load.pattern.endsWith('read') ? 'read' : 'write'];
  if (result === undefined) throw new Error('fio reports nothing');
  return { rate: result.iops, cpu: spent / Math.max(1, result.total_ios) };
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
