/** A target filesystem without room: one line, status 1, and the source is as it was. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { img, imgOutput } from '../support/cli.ts';
import { Random } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';

const MIB = 1024 * 1024;
const canMount = process.platform === 'linux' && process.getuid?.() === 0;

/** A filesystem of 2 MiB, for the time of the test. */
function smallFilesystem(folder: string): string {
  const mount = join(folder, 'small');
  mkdirSync(mount);
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', mount], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mount: ${stderr}`);
  onTestFinished(() => void spawnSync('umount', [mount]));
  return mount;
}

const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

const targets: readonly (readonly string[])[] = [
  ['-O', 'raw'],
  ['-O', 'raw', '-S', '0'],
  ['-O', 'raw', '-C'],
  ['-O', 'qcow2'],
  ['-O', 'qcow2', '-c'],
  ['-O', 'qcow2', '-W', '-m', '16'],
  ['-O', 'qcow2', '-o', 'preallocation=full'],
  ['-O', 'raw', '-o', 'preallocation=falloc'],
];

describe.skipIf(!canMount)('a full disk', () => {
  test.each(targets.map((args) => [args.join(' '), args] as const))('convert %s', async (_name, args) => {
    const folder = tempDir();
    const small = smallFilesystem(folder);
    const source = join(folder, 'source.raw');
    writeFileSync(source, new Random(5).bytes(6 * MIB));
    const before = digest(source);
    const { code, stdout, stderr } = await img(['convert', '-f', 'raw', ...args, source, join(small, 'target')]);
    expect(code, stderr).toBe(1);
    expect(stderr.trimEnd().split('\n'), stderr).toHaveLength(1);
    expect(stderr).toMatch(/No space left on device/);
    expect(stdout).toBe('');
    expect(digest(source)).toBe(before);
  });

  test('create with preallocation', async () => {
    const small = smallFilesystem(tempDir());
    const args = ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=full', join(small, 'target'), '6M'];
    const { code, stderr } = await img(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^img: .*No space left on device\n$/);
  });

  test('what is left of an image on a full disk can be looked at', async () => {
    const folder = tempDir();
    const small = smallFilesystem(folder);
    const source = join(folder, 'source.raw');
    const target = join(small, 'target');
    writeFileSync(source, new Random(5).bytes(6 * MIB));
    await img(['convert', '-f', 'raw', '-O', 'qcow2', source, target]);
    await imgOutput(['info', target]);
    expect([0, 3]).toContain((await img(['check', target])).code);
  });
});
