/** Disk images as they are in life: a partition table and a filesystem full of real files. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { peerOutput } from './peers.ts';

const MIB = 1024 * 1024;
const root = fileURLToPath(new URL('../../', import.meta.url));

export interface RealDiskOptions {
  /** Kind of the partition table; default gpt. */
  readonly table?: 'gpt' | 'mbr';
  /** Size of the disk in MiB; default 512. The files must fit. */
  readonly size?: number;
  /** Folder whose files go into the filesystem, but for caches; default this project's node_modules. */
  readonly from?: string;
}

/**
 * Path of a raw disk image with one ext4 partition that starts at 1 MiB; needs sfdisk and mke2fs. It is made
 * once per test run and shared, so treat it as read-only: copy it before writing to it.
 */
export async function realDisk(options: RealDiskOptions = {}): Promise<string> {
  const { table = 'gpt', size = 512, from = join(root, 'node_modules') } = options;
  const path = join(runFolder(), `disk-${table}-${size}-${from.replaceAll(/\W+/g, '-')}.raw`);
  await once(path, async (temporary) => {
    const files = `${temporary}.files`;
    try {
      // Caches beside the files can be of any size.
      cpSync(from, files, { recursive: true, verbatimSymlinks: true, filter: (name) => basename(name) !== '.cache' });
      await makeDisk(temporary, { table, size, from: files });
    } finally {
      rmSync(files, { recursive: true, force: true });
    }
  });
  return path;
}

async function makeDisk(path: string, { table, size, from }: Required<RealDiskOptions>): Promise<void> {
  writeFileSync(path, '');
  truncateSync(path, size * MIB);
  const label = table === 'gpt' ? 'gpt' : 'dos';
  // A GPT keeps its second copy in the last 33 sectors: leave the last MiB to it.
  const partition = size - 2;
  const script = `label: ${label}\nstart=1MiB, size=${partition}MiB, type=linux\n`;
  await peerOutput('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path], { input: script });
  const blocks = String((partition * MIB) / 4096);
  const filesystem = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-E', `offset=${MIB}`, '-d', from, path, blocks];
  await peerOutput('mke2fs', filesystem, { timeout: 120_000 });
}

/** The folder that all test processes of one run share; global-setup.ts makes and removes it. */
function runFolder(): string {
  const folder = process.env.BLOCKYARD_RUN_DIR;
  if (folder !== undefined && existsSync(folder)) return folder;
  const own = mkdtempSync(join(tmpdir(), 'blockyard-disks-'));
  process.env.BLOCKYARD_RUN_DIR = own;
  process.once('exit', () => rmSync(own, { recursive: true, force: true }));
  return own;
}

/** Make a file unless another test process has made it or is making it; then wait for that one. */
async function once(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const lock = `${path}.lock`;
  while (!existsSync(path)) {
    if (takeLock(lock)) {
      try {
        if (existsSync(path)) return;
        await make(`${path}.part`);
        renameSync(`${path}.part`, path);
      } finally {
        rmSync(lock, { recursive: true, force: true });
      }
    } else {
      await sleep(100);
    }
  }
}

/** A maker that died leaves its lock behind: after three minutes it counts for nothing. */
function takeLock(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > 180_000) rmSync(lock, { recursive: true, force: true });
    return false;
  }
}
