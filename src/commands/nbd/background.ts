/**
 * `--fork`: a process cannot be split in two here, so the program starts itself again, apart from the terminal, and
 * waits until that one can be connected to. What the second says until then is said by the first.
 */
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { nextTurn } from '../../core/async/turn.ts';
import type { Io } from '../cli/io.ts';

/** Tells the second process that it is it; the value is a descriptor to say "ready" on. */
const VARIABLE = 'BLOCKYARD_NBD_READY_FD';
const READY_FD = 3;

export function isDaemon(io: Io): boolean {
  return io.env[VARIABLE] !== undefined;
}

/** Start the second process and wait for it; the exit status of the first. */
export async function becomeDaemon(verbose: boolean, io: Io): Promise<number> {
  const [node = '', ...rest] = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const child = spawn(node, rest, {
    detached: true,
    argv0: process.argv0,
    stdio: ['ignore', 'ignore', verbose ? 'inherit' : 'pipe', 'pipe'],
    env: { ...process.env, [VARIABLE]: String(READY_FD) },
  });
  let said = false;
  child.stderr?.on('data', (text: Buffer) => {
    said = true;
    io.stderr.write(text);
  });
  const ready = await isReady(child.stdio[READY_FD] as Readable, child);
  // What it said before it was ready is on its way.
  await nextTurn();
  child.stderr?.destroy();
  child.unref();
  return ready && !said ? 0 : 1;
}

/** True once it says so; false when it ends before. */
function isReady(pipe: Readable, child: ReturnType<typeof spawn>): Promise<boolean> {
  return new Promise((resolve) => {
    pipe.once('data', () => {
      pipe.destroy();
      resolve(true);
    });
    // After its end and all that it had to say.
    child.once('close', () => resolve(false));
    child.once('error', () => resolve(false));
  });
}

/**
 * In the second process: clients can connect. It leaves the folder it was started in, unless names relative to that are
 * still to come.
 */
export function tellReady(io: Io, { keepFolder = false } = {}): void {
  if (!isDaemon(io)) return;
  delete process.env[VARIABLE];
  if (!keepFolder) process.chdir('/');
  writeSync(READY_FD, 'ready');
  closeSync(READY_FD);
}
