/** The programs in bin/, whatever they do: names, exit status, and the surroundings they set up. */
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
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

  test('it leaves at once, last of all, unless Node or its streams have something left to do', async () => {
    const program = (uses: string) => `exports.main = async () => { ${uses} return 5; };
      exports.leave = (status) => require('node:fs').writeSync(1, 'left ' + status);
      process.on('exit', () => require('node:fs').writeSync(1, 'ended, '));`;
    const run = async (uses: string, env: Record<string, string> = {}, ...args: string[]) => {
      const words = [...args, join(fakeProgram(program(uses)), 'bin', 'img')];
      const unset = { NODE_OPTIONS: '', NODE_V8_COVERAGE: '', NODE_COMPILE_CACHE: '' };
      const { exitCode, stdout } = await execa(process.execPath, words, { env: { ...unset, ...env }, reject: false });
      return [exitCode, stdout];
    };
    expect(await run('')).toEqual([5, 'ended, left 5']);
    expect(await run("process.stdin.on('data', () => {}).unref?.(); process.stdin.destroy();")).toEqual([5, 'ended, ']);
    expect(await run('', { NODE_OPTIONS: '--no-warnings' })).toEqual([5, 'ended, ']);
    expect(await run('', {}, '--no-warnings')).toEqual([5, 'ended, ']);
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

  test('code that was kept is used for the text it was made of only, and passed over when damaged', async () => {
    const program = (status: number) => `exports.main = async () => require('./chunks/a.cjs').value + ${status};`;
    const folder = fakeProgram(program(0));
    const entry = join(folder, 'dist', 'cli', 'img.cjs');
    const chunk = join(folder, 'dist', 'cli', 'chunks', 'a.cjs');
    mkdirSync(dirname(chunk));
    writeFileSync(chunk, 'exports.value = 3;');
    const run = async () => {
      const env = { NODE_COMPILE_CACHE: join(folder, 'code'), NODE_DISABLE_COMPILE_CACHE: '' };
      const result = await execa(process.execPath, [join(folder, 'bin', 'img')], { env, reject: false });
      expect(result.stderr).toBe('');
      return result.exitCode;
    };
    expect(await run()).toBe(3);
    const [pack = ''] = packsIn(join(folder, 'code'));
    // What is in the pack is not read from its file: a chunk is named by its content.
    rmSync(chunk);
    expect(await run()).toBe(3);
    // A text of the same length and time is not the same.
    const { atime, mtime } = statSync(entry);
    writeFileSync(chunk, 'exports.value = 4;');
    writeFileSync(entry, program(5));
    utimesSync(entry, atime, mtime);
    expect(await run()).toBe(9);
    const whole = readFileSync(pack);
    for (const bad of [whole.subarray(0, -1), whole.subarray(0, 3), Buffer.alloc(whole.length), Buffer.from('x')]) {
      writeFileSync(pack, bad);
      expect(await run()).toBe(9);
      expect(readFileSync(pack).length).toBe(whole.length);
    }
    // Compiled code that V8 does not take is compiled again.
    writeFileSync(pack, whole.subarray(0, -64));
    expect(await run()).toBe(9);
    expect(packsIn(join(folder, 'code'))).toEqual([pack]);
  });

  test('each command has its code kept apart', async () => {
    const folder = fakeProgram("exports.main = async () => 0; exports.isCommand = (word) => word === 'check';");
    const env = { NODE_COMPILE_CACHE: join(folder, 'code'), NODE_DISABLE_COMPILE_CACHE: '' };
    for (const word of ['check', 'other', '--help', '../x']) {
      await execa(process.execPath, [join(folder, 'bin', 'img'), word], { env });
    }
    expect(packsIn(join(folder, 'code')).map((path) => basename(path))).toEqual(['img', 'img-check']);
  });

  test('an image needs nothing of Node that brings much along', async () => {
    const folder = tempDir();
    const hook = join(folder, 'hook.cjs');
    const list = "require('node:fs').writeSync(2, process.moduleLoadList.join('\\n'))";
    writeFileSync(hook, `process.on('exit', () => ${list});`);
    writeFileSync(join(folder, 'empty.cjs'), '');
    const [image, overlay] = [join(folder, 'small.qcow2'), join(folder, 'overlay.qcow2')] as const;
    const loaded = async (...words: string[]) => {
      const { stderr } = await execa(process.execPath, ['--require', hook, ...words]);
      return new Set(stderr.split('\n').flatMap((line) => /^NativeModule (.*)/.exec(line)?.[1] ?? []));
    };
    const anyway = await loaded(join(folder, 'empty.cjs'));
    expect(anyway).toContain('fs');
    await loaded(programPath('img'), 'create', '-f', 'qcow2', image, '1M');
    for (const words of [
      ['info', image],
      ['measure', '-O', 'qcow2', image],
      ['snapshot', '-c', 'a', image],
      ['compare', image, image],
      ['create', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay],
      ['rebase', '-b', image, '-F', 'qcow2', overlay],
      ['commit', overlay],
    ]) {
      const more = [...(await loaded(programPath('img'), ...words))].filter((name) => !anyway.has(name));
      const heavy = /^(stream|v8|perf_hooks|module|fs\/promises|timers\/promises|net|tls|crypto|worker_threads|zlib)$/;
      expect(more.filter((name) => heavy.test(name))).toEqual([]);
    }
  });

  test('the bundles are ASCII, as which they are read', () => {
    const folder = join(dirname(programPath('img')), '..', 'dist', 'cli');
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    for (const name of names.filter((each) => /^[a-z-]+\.cjs$/.test(each))) {
      expect(readFileSync(join(folder, name)).every((byte) => byte < 0x80)).toBe(true);
    }
  });

  test('programs are CommonJS, so that the thread pool is not used before its size is set', () => {
    const { type } = JSON.parse(readFileSync(join(dirname(programPath('img')), 'package.json'), 'utf8'));
    expect(type).toBe('commonjs');
  });
});

/** The files of compiled code, in order, below a folder for it. Node's own compile cache is kept there as well. */
function packsIn(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => /^img/.test(basename(name)))
    .map((name) => join(folder, name))
    .sort();
}

/** A folder laid out as the project, with this text as the built `img`. */
function fakeProgram(text: string): string {
  const folder = tempDir();
  cpSync(dirname(programPath('img')), join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'dist', 'cli'), { recursive: true });
  writeFileSync(join(folder, 'dist', 'cli', 'img.cjs'), text);
  return folder;
}
