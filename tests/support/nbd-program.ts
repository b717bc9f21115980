/** Our `nbd` as a program that serves on a unix socket until the test has finished. */

import { join } from 'node:path';
import { expect } from 'vitest';
import { programPath } from './cli.ts';
import { isListening } from './listening.ts';
import { tempDir } from './temp.ts';
import { type Running, start } from './tracked-child.ts';

export interface RunningServer extends Running {
  /** Path of the socket. */
  readonly socket: string;
  /** URI of the export `name`. */
  uri(name?: string): string;
}

export async function startNbd(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  const socket = join(tempDir(), 's');
  const running = start(programPath('nbd'), ['-k', socket, ...args], env);
  await expect.poll(() => isListening(socket) || running.child.exitCode !== null).toBe(true);
  if (!isListening(socket)) throw new Error(`nbd did not start: ${running.output()}`);
  return Object.assign(running, { socket, uri: (name = '') => `nbd+unix:///${name}?socket=${socket}` });
}
