/** The shell around commands in real processes: signals, closed pipes, exit statuses. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, it } from 'vitest';
import { tempDirForSuite } from '../../support/temp.ts';

const folder = tempDirForSuite();
const program = join(folder, 'img.cjs');

/** Modules that are loaded before any command has asked for more. */
let loadedAtStart: string[] = [];

beforeAll(async () => {
  const input = { sample: join(import.meta.dirname, 'sample-program.ts') };
  const transform = { target: 'es2022' };
  const bundle = await rolldown({ input, platform: 'node', transform, logLevel: 'silent' });
  const { output } = await bundle.write({
    dir: folder,
    format: 'cjs',
    entryFileNames: '[name].cjs',
    chunkFileNames: '[name].cjs',
  });
  await bundle.close();
  const chunks = output.filter((item) => item.type === 'chunk');
  const reach = (name: string): string[] =>
    chunks
      .filter((chunk) => chunk.fileName === name)
      .flatMap((chunk) => [...chunk.moduleIds, ...chunk.imports.flatMap(reach)]);
  loadedAtStart = reach('sample.cjs');
  const start = `require('./sample.cjs').main(process.argv.slice(2), 'img').then((status) => { process.exitCode = status; });`;
  writeFileSync(program, start);
});

const node = (...words: string[]): ReturnType<typeof execa> =>
  execa(process.execPath, [program, ...words], { reject: false, timeout: 20_000, stripFinalNewline: false });

/** Start `img work …`, and send each signal when it has said something new. */
async function interrupted(
  words: string[],
  ...signals: NodeJS.Signals[]
): Promise<{ code: number | null; signal: NodeJS.Signals | null; err: string }> {
  const child = spawn(process.execPath, [program, 'work', ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.on('data', (data) => (err += String(data)));
  child.stdout.on('data', () => {
    const signal = signals.shift();
    if (signal) child.kill(signal);
  });
  return new Promise((done) => child.on('close', (code, signal) => done({ code, signal, err })));
}

describe('a program', () => {
  it('returns the status of its command', async () => {
    expect(await node('info', 'x')).toMatchObject({ exitCode: 0, stdout: 'x human undefined\n', stderr: '' });
    expect(await node('fail', 'status')).toMatchObject({ exitCode: 2, stderr: 'img: no such disk\n' });
  });
  it('lets an interrupted command clean up and ends in 130', async () => {
    const marks = join(folder, 'marks');
    expect(await interrupted([marks], 'SIGINT')).toEqual({ code: 130, signal: null, err: '' });
    expect(existsSync(marks)).toBe(true);
    expect(await interrupted([], 'SIGTERM')).toEqual({ code: 143, signal: null, err: '' });
  });
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('is ended at once by a second %s', async (signal) => {
    const marks = join(folder, 'no-marks');
    expect(await interrupted(['--stubborn', marks], 'SIGINT', signal)).toEqual({ code: null, signal, err: '' });
    expect(existsSync(marks)).toBe(false);
  });
  it('does not mind a reader that goes away', async () => {
    const child = spawn(process.execPath, [program, 'flood'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let err = '';
    child.stderr.on('data', (data) => (err += String(data)));
    child.stdout.once('data', () => child.stdout.destroy());
    expect(await new Promise((done) => child.on('close', done))).toBe(3);
    expect(err).toBe('');
  });
  it('writes all of its output through a slow pipe', async () => {
    const { stdout, exitCode } = await node('flood');
    expect(exitCode).toBe(0);
    expect(String(stdout).split('\n')).toHaveLength(200_001);
  });
  it.skipIf(!existsSync('/dev/full'))('reports a full disk below its output', () => {
    const full = openSync('/dev/full', 'w');
    const child = spawnSync(process.execPath, [program, 'info', 'x'], { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    expect(child.status).toBe(1);
    expect(String(child.stderr)).toBe('img: cannot write to standard output: No space left on device\n');
  });
  it('reports what is thrown where nobody waits for it', async () => {
    expect(await node('fail', 'later')).toMatchObject({ exitCode: 1, stderr: 'img: too late\n' });
  });
  it('does not take a command that got stuck for one that succeeded', async () => {
    expect(await node('fail', 'hang')).toMatchObject({
      exitCode: 70,
      stderr: 'img: internal error: the command did not end\n',
    });
  });
  it('loads neither yargs nor chalk nor cli-progress before they are needed', async () => {
    expect(loadedAtStart.some((path) => path.endsWith('commands/cli/main.ts'))).toBe(true);
    expect(loadedAtStart.filter((path) => /yargs|chalk|cli-progress|valibot/.test(path))).toEqual([]);
    const { stdout } = await node('--help');
    expect(String(stdout)).toMatch(/^Usage: img [\s\S]*Formats: raw qcow2/);
  });
});
