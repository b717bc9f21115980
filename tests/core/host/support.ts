/** Folders and facts of this machine that the tests of the host room share. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { onTestFinished } from 'vitest';
import { HostFile, type HostFileOptions } from '../../../src/core/host/index.ts';

export const isLinux = process.platform === 'linux';
export const hasTmpfs = isLinux && existsSync('/dev/shm');
/** Mounting and loop devices are the administrator's. */
export const isRoot = isLinux && process.getuid?.() === 0;

/** Call within a test: a new folder on tmpfs, removed when the test has finished. */
export function tmpfsDir(): string {
  const folder = mkdtempSync('/dev/shm/blockyard-');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Call within a test: an open file that is closed when the test has finished. */
export async function openFile(path: string, options?: HostFileOptions): Promise<HostFile> {
  const file = await HostFile.open(path, options);
  onTestFinished(() => file.close());
  return file;
}

/** Run an administrator's tool that must succeed; its output without the final newline. */
export function tool(command: string, ...args: string[]): string {
  return execaSync(command, args).stdout;
}

/** Call within a test: a mounted filesystem made by `mkfs`, or undefined where the kernel or the tools lack it. */
export function mounted(folder: string, filesystem: 'tmpfs' | 'xfs' | 'btrfs', megabytes: number): string | undefined {
  const point = join(folder, 'mnt');
  const image = join(folder, `${filesystem}.img`);
  try {
    tool('mkdir', '-p', point);
    if (filesystem === 'tmpfs') tool('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', point);
    else {
      tool('truncate', '-s', `${megabytes}M`, image);
      tool(`mkfs.${filesystem}`, '-q', image);
      tool('mount', '-o', 'loop', image, point);
    }
  } catch {
    return undefined;
  }
  onTestFinished(() => {
    tool('umount', point);
  });
  return point;
}

/** Bytes that differ from position to position and from seed to seed. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + seed * 97) & 0xff;
  return bytes;
}

/** Read a range that must be there in full. */
export async function readBack(file: HostFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const done = await file.read(offset, bytes);
  if (done !== length) throw new Error(`read ${done} bytes of ${length} at ${offset}`);
  return bytes;
}

/** Compare bytes: what `toEqual` says of them, without its cost per element. */
export function same(actual: Uint8Array, wanted: Uint8Array): boolean {
  return Buffer.compare(actual, wanted) === 0;
}
