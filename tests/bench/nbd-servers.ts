/** NBD servers side by side on unix sockets: ours, and the installed qemu-nbd and nbdkit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isListening } from '../support/listening.ts';
import { findPeer } from '../support/peers.ts';

export interface Server {
  readonly name: string;
  readonly socket: string;
  readonly process: ChildProcess;
  /** What it serves. */
  readonly image: string;
}

export interface ServerKind {
  readonly format: 'raw' | 'qcow2';
  /** Folder of a shared key `keys.psk`: nobody comes in without TLS. */
  readonly keys?: string;
}

/** Start what is installed; each server has a copy of `image`, since two programs do not write to one. */
export async function startServers({ format, keys }: ServerKind, image: string, folder: string): Promise<Server[]> {
  const path = (name: string) => join(folder, `${name}-${format}${keys === undefined ? '' : '-tls'}.sock`);
  const own = (name: string) => join(folder, `${name}-${format}.img`);
  const object = `tls-creds-psk,id=tls0,dir=${keys},endpoint=server`;
  const tls = keys === undefined ? [] : ['--object', object, '--tls-creds', 'tls0'];
  const nbd = (name: string) => ['-k', path(name), '-f', format, '-t', '-e', '0', '-x', '', ...tls, own(name)];
  const lines: [string, readonly string[]][] = [
    ['ours', [process.execPath, join(process.cwd(), 'bin', 'nbd'), ...nbd('ours')]],
  ];
  const qemuNbd = findPeer('qemu-nbd');
  if (qemuNbd !== undefined) lines.push(['qemu-nbd', [qemuNbd, ...nbd('qemu-nbd')]]);
  const nbdkit = format === 'raw' ? findPeer('nbdkit') : undefined;
  if (nbdkit !== undefined) {
    const kit = keys === undefined ? [] : ['--tls=require', `--tls-psk=${join(keys, 'keys.psk')}`];
    lines.push(['nbdkit', [nbdkit, '-f', '-U', path('nbdkit'), ...kit, 'file', own('nbdkit')]]);
  }
  const servers = lines.map(([name, [program = '', ...words]]) => {
    copyFileSync(image, own(name));
    return { name, socket: path(name), image: own(name), process: spawn(program, words, { stdio: 'ignore' }) };
  });
  for (const { name, socket, process } of servers) {
    for (let tries = 0; tries < 200 && !isListening(socket) && process.exitCode === null; tries++) await delay(50);
    if (process.exitCode !== null) throw new Error(`${name} ended with status ${process.exitCode} when it was started`);
  }
  return servers;
}

/** Resolves when they have ended, and their names are free for others. */
export async function stopServers(servers: readonly Server[]): Promise<void> {
  for (const { process, image, socket } of servers) {
    const ended = process.exitCode === null ? once(process, 'exit') : undefined;
    process.kill();
    await ended;
    rmSync(image, { force: true });
    rmSync(socket, { force: true });
  }
}

/** Microseconds of a tick of the clock that counts processor time (USER_HZ is 100 on every Linux). */
const TICK = 10_000;

/** Of all threads, also of those that have ended, in microseconds: fields 14 and 15 of proc_pid_stat(5). */
export function processorTime({ process: { pid } }: Server): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

/** Peak resident memory in MiB. */
export function peakMemory({ process: { pid } }: Server): string {
  const [, kib = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (Number(kib) / 1024).toFixed(0);
}
