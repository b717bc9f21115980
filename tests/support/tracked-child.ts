/** Programs that keep running during a test; each is ended, and waited for, when its test has finished. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { findPeer, type Peer } from './peers.ts';

export interface Running {
  readonly child: ChildProcess;
  /** What it printed so far, both streams. */
  output(): string;
  /** Send a signal and wait for the end. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Wait for the end. */
  ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Start a program within a test. */
export function start(path: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let text = '';
  const collect = (chunk: Buffer) => {
    text += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const end = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }));
    child.on('error', (error) => {
      text += String(error);
      resolve({ code: -1, signal: null });
    });
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await end;
  });
  return {
    child,
    output: () => text,
    end(signal) {
      child.kill(signal);
      return end;
    },
    ended: () => end,
  };
}

/** Start a peer within a test. */
export function startPeer(peer: Peer, args: readonly string[]): Running {
  const path = findPeer(peer);
  if (path === undefined) throw new Error(`${peer} is not installed`);
  return start(path, args);
}

/** Wait until `condition` holds; throws with `complaint` when it does not within `timeout` milliseconds. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeout: number,
  complaint: () => string,
): Promise<void> {
  const deadline = performance.now() + timeout;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(complaint());
    await sleep(20);
  }
}
