/** Servers of other projects, started by a test and stopped with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { isListening } from './listening.ts';
import { findPeer } from './peers.ts';
import { tempDir } from './temp.ts';

export interface RunningServer {
  readonly socket: string;
  /** URI of an export. */
  uri(exportName?: string): string;
  /** What it has said on standard error so far. */
  readonly stderr: string;
  /** Its exit status once it has ended by itself. */
  ended(): Promise<number | null>;
  /** End it; `SIGKILL` for a crash. Resolves when it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** URI of an export behind a unix socket. */
export function unixUri(socket: string, exportName = ''): string {
  return `nbd+unix:///${encodeURIComponent(exportName)}?socket=${socket}`;
}

/** qemu-nbd that stays when clients leave, on a socket of its own unless one is given. */
export function startQemuNbd(args: readonly string[], socket = join(tempDir(), 'nbd')): Promise<RunningServer> {
  return start('qemu-nbd', ['-t', '-k', socket, ...args], socket);
}

/** nbdkit on a socket of its own unless one is given. */
export function startNbdkit(args: readonly string[], socket = join(tempDir(), 'nbd')): Promise<RunningServer> {
  return start('nbdkit', ['-f', '-U', socket, ...args], socket);
}

async function start(peer: 'qemu-nbd' | 'nbdkit', args: readonly string[], socket: string): Promise<RunningServer> {
  const path = findPeer(peer);
  if (path === undefined) throw new Error(`${peer} is not installed`);
  rmSync(socket, { force: true });
  const child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr?.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  const stop = (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => end(child, signal);
  onTestFinished(() => stop('SIGKILL'));
  while (!isListening(socket)) {
    if (child.exitCode !== null) throw new Error(`${peer} ${args.join(' ')} ended at once: ${stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    socket,
    uri: (exportName) => unixUri(socket, exportName),
    get stderr() {
      return stderr;
    },
    ended: () =>
      expect
        .poll(() => child.exitCode, { timeout: 10_000 })
        .not.toBeNull()
        .then(() => child.exitCode),
    stop,
  };
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}
