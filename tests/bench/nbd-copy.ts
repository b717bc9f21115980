/**
 * Whole disks over NBD: nbdcopy from and to each server, in the clear and under TLS with a shared key; and our client
 * against qemu-img's, on one server. They take turns, after a round that does not count; printed are medians of seconds,
 * and of processor time, that of the servers for nbdcopy and that of the clients else.
 */
import { execFileSync } from 'node:child_process';
import { makeKeys } from '../support/certificates.ts';
import { findPeer } from '../support/peers.ts';
import { middle, run } from './measure.ts';
import { processorTime, type Server, startServers, stopServers } from './nbd-servers.ts';
import { ourImg, qemuImg } from './programs.ts';

interface Copy {
  readonly name: string;
  readonly to: boolean;
  readonly tls: boolean;
  /** Speed of ours over that of qemu-nbd is to be at least this. */
  readonly target: number;
}

const COPIES: readonly Copy[] = [
  { name: 'nbd-copy-from', to: false, tls: false, target: 1 },
  { name: 'nbd-copy-to', to: true, tls: false, target: 1 },
  { name: 'nbd-copy-from-tls', to: false, tls: true, target: 0.8 },
  { name: 'nbd-copy-to-tls', to: true, tls: true, target: 0.8 },
];
const CLIENT = 'nbd-client';
const CLIENT_READS = '200000';

export const nbdCopyNames = [...COPIES.map(({ name }) => name), CLIENT];

export interface NbdCopyOptions {
  readonly rounds: number;
  isWanted(name: string): boolean;
  print(line: string): void;
}

/** @param image a raw one that is all data */
export async function benchNbdCopy(image: string, folder: string, options: NbdCopyOptions): Promise<void> {
  const nbdcopy = findPeer('nbdcopy');
  if (nbdcopy === undefined) options.print('nbd-copy: left out, since nbdcopy is not installed');
  for (const tls of [false, true]) {
    const copies = COPIES.filter((copy) => copy.tls === tls && options.isWanted(copy.name));
    const client = !tls && options.isWanted(CLIENT);
    if (!client && (nbdcopy === undefined || copies.length === 0)) continue;
    const keys = tls ? makeKeys(folder, ['bench']) : undefined;
    const servers = await startServers({ format: 'raw', ...(keys === undefined ? {} : { keys }) }, image, folder);
    try {
      if (nbdcopy !== undefined) {
        for (const copy of copies)
          options.print(measureCopy([nbdcopy], copy, { servers, image, keys }, options.rounds));
      }
      if (client) options.print(measureClient(servers, folder, options.rounds));
    } finally {
      await stopServers(servers);
    }
  }
}

interface Surroundings {
  readonly servers: readonly Server[];
  readonly image: string;
  readonly keys: string | undefined;
}

/** Seconds. */
interface Sample {
  readonly wall: number;
  readonly cpu: number;
}

function measureCopy(nbdcopy: readonly string[], copy: Copy, { servers, image, keys }: Surroundings, rounds: number) {
  const samples = new Map<string, Sample[]>(servers.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const server of servers) {
      const uri =
        keys === undefined
          ? `nbd+unix:///?socket=${server.socket}`
          : `nbds+unix://bench@/?socket=${server.socket}&tls-psk-file=${keys}/keys.psk`;
      const [program = '', ...words] = [...nbdcopy, ...(copy.to ? [image, uri] : [uri, 'null:'])];
      const before = processorTime(server);
      const begin = performance.now();
      execFileSync(program, words, { stdio: 'ignore' });
      const wall = (performance.now() - begin) / 1000;
      if (round > 0) samples.get(server.name)?.push({ wall, cpu: (processorTime(server) - before) / 1e6 });
    }
  }
  return lineOf(copy.name, samples, copy.target, 'qemu-nbd');
}

/** Reads of 4 KiB, 64 at a time, from the same server: qemu-nbd where there is one. */
function measureClient(servers: readonly Server[], folder: string, rounds: number): string {
  const server = servers.find(({ name }) => name === 'qemu-nbd') ?? servers[0];
  const words = ['bench', '-c', CLIENT_READS, '-f', 'raw', `nbd+unix:///?socket=${server?.socket}`];
  const clients = [{ name: 'ours', program: ourImg }];
  if (qemuImg !== undefined) clients.push({ name: 'qemu-img', program: [qemuImg] });
  const samples = new Map<string, Sample[]>(clients.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const { name, program } of clients) {
      const { wall, cpu } = run([...program, ...words], folder);
      if (round > 0) samples.get(name)?.push({ wall, cpu });
    }
  }
  return lineOf(CLIENT, samples, 1, 'qemu-img');
}

function lineOf(name: string, samples: ReadonlyMap<string, readonly Sample[]>, target: number, other: string): string {
  const wall = (who: string): number => middle((samples.get(who) ?? []).map((sample) => sample.wall));
  const parts = [...samples].map(([who, list]) => {
    return `${who} ${wall(who).toFixed(2)} s (cpu ${middle(list.map(({ cpu }) => cpu)).toFixed(2)})`;
  });
  const ratio = samples.has(other) ? wall(other) / wall('ours') : undefined;
  if (ratio === undefined) return `${name}: ${parts.join(', ')}: ${other} is missing`;
  const verdict = ratio >= target ? 'ok' : 'miss';
  return `${name}: ${parts.join(', ')}: speed ${ratio.toFixed(2)}, target >= ${target}: ${verdict}`;
}
