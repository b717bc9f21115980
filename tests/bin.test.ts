/** The programs in bin/, whatever they do: names, exit status, and the surroundings they set up. */
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execa, type Options } from 'execa';
import { describe, expect, test } from 'vitest';
import { programPath, runProgram } from './support/cli.ts';
import { tempDir } from './support/temp.ts';

describe('bin', () => {
  test('a program started through a link of another name calls itself that', async () => {
    const { stderr } = await runProgram('nbd', [], { calledAs: 'qemu-nbd' });
    expect(stderr).toMatch(/^qemu-nbd: /);
  });

  test('a program runs by its own first line', async () => {
    const { exitCode, stderr } = await execa(programPath('nbd'), [], { reject: false });
    expect({ exitCode, stderr: stderr.slice(0, 5) }).toEqual({ exitCode: 1, stderr: 'nbd: ' });
  });

  test('without a build it says how to make one', async () => {
    const folder = tempDir();
    cpSync(dirname(programPath('img')), join(folder, 'bin'), { recursive: true });
    const { exitCode, stderr } = await execa(process.execPath, [join(folder, 'bin', 'img')], { reject: false });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^img: .*img\.cjs does not exist: .*npm run build/);
  });

  test('a broken promise of the program is an internal error with status 70', async () => {
    const folder = fakeProgram("exports.main = async () => { throw new Error('broken'); };");
    const { exitCode, stderr } = await execa(process.execPath, [join(folder, 'bin', 'img')], { reject: false });
    expect(exitCode).toBe(70);
    expect(stderr).toMatch(/^img: internal error: Error: broken\n/);
  });

  test('the thread pool has between 4 and 16 threads unless the user says otherwise', async () => {
    const folder = fakeProgram(
      'exports.main = async (argv, name) => { console.log(process.env.UV_THREADPOOL_SIZE, name, argv); return 5; };',
    );
    symlinkSync(join(folder, 'bin', 'img'), join(folder, 'qemu-img'));
    const run = (env: Record<string, string>) =>
      execa(process.execPath, [join(folder, 'qemu-img'), 'a', '-b'], { env, reject: false });
    const unset = await run({});
    expect(unset.exitCode).toBe(5);
    expect(unset.stdout).toMatch(/^([4-9]|1[0-6]) qemu-img \[ 'a', '-b' \]$/);
    expect((await run({ UV_THREADPOOL_SIZE: '3' })).stdout).toMatch(/^3 /);
  });

  test('without a home of its own a program runs, and keeps its code nowhere', async () => {
    const folder = fakeProgram('exports.main = async () => 5;');
    const cwd = join(folder, 'work');
    mkdirSync(cwd);
    const run = async (env: Record<string, string>, rest: Options = {}) => {
      const surroundings = { env: { PATH: process.env.PATH ?? '', ...env }, extendEnv: false, reject: false, cwd };
      const { exitCode, stderr } = await execa(process.execPath, [join(folder, 'bin', 'img')], {
        ...surroundings,
        ...rest,
      });
      expect({ exitCode, stderr }).toEqual({ exitCode: 5, stderr: '' });
      expect(readdirSync(cwd)).toEqual([]);
    };
    await run({ HOME: '' });
    await run({ HOME: 'home', XDG_CACHE_HOME: 'cache' });
    await run({ HOME: join(cwd, 'missing') });
    if (process.getuid?.() !== 0) return;
    // A user whom the system does not know, as in containers, and a home of somebody else.
    chmodSync(folder, 0o755);
    await run({}, { uid: 54_321, gid: 54_321 });
    chownSync(cwd, 54_321, 54_321);
    await run({ HOME: cwd });
    const own = { NODE_COMPILE_CACHE: '', XDG_CACHE_HOME: '', HOME: folder };
    const { exitCode } = await execa(process.execPath, [join(folder, 'bin', 'img')], { env: own, reject: false });
    expect([exitCode, existsSync(join(folder, '.cache', 'blockyard', 'code'))]).toEqual([5, true]);
  });

  test('programs are CommonJS, so that the thread pool is not used before its size is set', () => {
    const { type } = JSON.parse(readFileSync(join(dirname(programPath('img')), 'package.json'), 'utf8'));
    expect(type).toBe('commonjs');
  });
});

/** A folder laid out as the project, with this text as the built `img`. */
function fakeProgram(text: string): string {
  const folder = tempDir();
  cpSync(dirname(programPath('img')), join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'dist', 'cli'), { recursive: true });
  writeFileSync(join(folder, 'dist', 'cli', 'img.cjs'), text);
  return folder;
}
