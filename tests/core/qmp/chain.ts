/** A chain of images on disk as nodes of a service, and how to wait for its jobs. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import type { Client, Message, Scene } from './client.ts';

export const MiB = 1024 * 1024;

export interface Chain {
  readonly dir: string;
  /** File names, the lowest first. */
  readonly files: readonly string[];
}

/**
 * `base`, `mid` and `top` of 4 MiB: the first MiB has 1s in the base, the second 2s in the middle, the third 3s on top.
 * The nodes have the names of the files and can all be written to.
 */
export async function chain({ client }: Scene, dir: string): Promise<Chain> {
  const files = ['base', 'mid', 'top'].map((name) => path.join(dir, name));
  for (const [index, file] of files.entries()) {
    const below = index === 0 ? [] : ['-b', files[index - 1] ?? '', '-F', 'qcow2'];
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...below, file, '4M']);
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P ${index + 1} ${index}M 1M`, file]);
  }
  const node = (index: number): object => ({
    driver: 'qcow2',
    'node-name': ['base', 'mid', 'top'][index],
    file: { driver: 'file', filename: files[index] },
    ...(index === 0 ? {} : { backing: node(index - 1) }),
    'read-only': false,
  });
  await client.run('blockdev-add', node(2));
  return { dir, files };
}

/** Content of each MiB: the byte that fills it. */
export function content(file: string, bytes: readonly number[], format = 'qcow2'): string {
  const reads = bytes.flatMap((byte, index) => ['-c', `read -P ${byte} ${index}M 1M`]);
  try {
    const said = execFileSync('qemu-io', ['-r', '-f', format, ...reads, file], { encoding: 'utf8', stdio: 'pipe' });
    return said.includes('failed') ? said : 'as expected';
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? error);
  }
}

export function backingOf(file: string): string | undefined {
  const said = execFileSync('qemu-img', ['info', '-U', '--output=json', file], { encoding: 'utf8' });
  return (JSON.parse(said) as { 'backing-filename'?: string })['backing-filename'];
}

/** Throws with what is wrong. */
export function check(...files: readonly string[]): void {
  for (const file of files) execFileSync('qemu-img', ['check', '-q', '-f', 'qcow2', file]);
}

/** The state `status` of a job, now or later; messages that have come so far are not looked at again. */
export async function reaches(client: Client, id: string, status: string): Promise<void> {
  await client.event('JOB_STATUS_CHANGE', (data) => data.id === id && data.status === status);
}

/** The end of a job that is dismissed by itself; throws its error. */
export async function ends(client: Client, id: string): Promise<Message> {
  const last = await client.until(
    ({ event, data }) => (event === 'BLOCK_JOB_COMPLETED' || event === 'BLOCK_JOB_CANCELLED') && data?.device === id,
  );
  await reaches(client, id, 'null');
  client.messages.length = 0;
  if (last.data?.error !== undefined) throw new Error(String(last.data.error));
  return last;
}

/** A user of a node that reads and writes while others do, too. */
export function userOf({ service: { graph } }: Scene, name: string): Backend {
  return Backend.attach(graph, graph.find(name), {
    user: 'the test',
    name: 'e',
    permissions: { perm: Perm.CONSISTENT_READ | Perm.WRITE, shared: Perm.ALL },
  });
}
