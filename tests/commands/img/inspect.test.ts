import { execFileSync } from 'node:child_process';
import { copyFileSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { peersFor, qemuImg } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

interface Report {
  readonly verdict: string;
  readonly format?: string;
  readonly references: readonly { readonly role: string; readonly name: string }[];
  readonly risks: readonly { readonly code: string; readonly text: string }[];
}

const STATUSES: Readonly<Record<string, number>> = { safe: 0, risky: 2, invalid: 3 };

/** The codes of the risks, after the verdict; the exit status must be that of the verdict. */
async function judge(file: string, ...options: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await imgHere(['inspect', '--output=json', ...options, file]);
  expect(stderr).toBe('');
  const report: Report = JSON.parse(stdout);
  expect(code).toBe(STATUSES[report.verdict]);
  return [report.verdict, ...report.risks.map((risk) => risk.code)];
}

async function make(name: string, ...options: readonly string[]): Promise<string> {
  const file = join(tempDir(), name);
  await imgHereOutput(['create', '-q', '-f', 'qcow2', ...options, file, '64M']);
  return file;
}

function poke(file: string, offset: number, bytes: readonly number[]): void {
  writeSync(openSync(file, 'r+'), Buffer.from(bytes), 0, bytes.length, offset);
}

describe('img inspect', () => {
  test('of an image that stands alone is safe', async () => {
    expect(await judge(await make('a.qcow2'), '--untrusted')).toEqual(['safe']);
    const raw = join(tempDir(), 'a.raw');
    writeFileSync(raw, 'x'.repeat(1024));
    expect(await judge(raw, '--untrusted')).toEqual(['safe']);
  });

  test('tells what an image names, without opening it', async () => {
    const file = await make('a.qcow2', '-u', '-b', '/etc/none', '-F', 'raw');
    expect(await judge(file)).toEqual(['risky', 'name-outside-folder']);
    expect(await judge(file, '--untrusted')).toEqual(['risky', 'names-another-file', 'name-outside-folder']);
    expect(await judge(await make('b.qcow2', '-u', '-b', 'sub/base', '-F', 'raw'))).toEqual(['safe']);
    expect(await judge(await make('c.qcow2', '-u', '-b', '../base', '-F', 'raw'))).toContain('name-outside-folder');
    expect(await judge(await make('d.qcow2', '-u', '-b', 'nbd://h/x', '-F', 'raw'))).toContain('name-with-protocol');
    const data = await make('e.qcow2', '-o', `data_file=${join(tempDir(), 'data')},data_file_raw=on`);
    expect(await judge(data)).toEqual(['risky', 'name-outside-folder']);
    const { stdout } = await imgHere(['inspect', data]);
    expect(stdout).toMatch(/^asks for: data-file \/.*\/data \(raw\)$/m);
  });

  test.skipIf(peersFor('qemu-img').missing)('tells of a format that is left to be guessed', async () => {
    const file = join(tempDir(), 'a.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-u', '-b', 'base', '-F', 'raw', file, '1M']);
    // The header extension for the backing format ends the header extensions instead.
    const at = readFileSync(file).indexOf(Buffer.from('e2792aca', 'hex'));
    poke(file, at, [0, 0, 0, 0, 0, 0, 0, 0]);
    expect(await judge(file)).toEqual(['risky', 'backing-format-missing']);
  });

  test('tells of damage, bits and sizes', async () => {
    const dirty = await make('dirty.qcow2');
    poke(dirty, 79, [1]);
    expect(await judge(dirty, '--no-check')).toEqual(['risky', 'dirty']);
    const corrupt = await make('corrupt.qcow2');
    poke(corrupt, 79, [2]);
    expect(await judge(corrupt, '--no-check')).toEqual(['risky', 'corrupt']);
    const leaking = await make('leaking.qcow2');
    truncateSync(leaking, 101 * 65536);
    poke(leaking, 2 * 65536 + 2 * 100, [0, 1]);
    expect(await judge(leaking)).toEqual(['risky', 'leaks']);
    const large = await make('large.qcow2');
    expect(await judge(large, '--max-size', '63M')).toEqual(['risky', 'size-over-limit']);
    expect(await judge(large, '--max-size', '64M')).toEqual(['safe']);
    const vast = join(tempDir(), 'vast.qcow2');
    await imgHereOutput(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2M', vast, '1P']);
    expect(await judge(vast)).toEqual(['risky', 'size-out-of-proportion']);
  });

  test('calls invalid what cannot be opened, also when it ends early or claims the impossible', async () => {
    const file = await make('a.qcow2');
    for (const [offset, bytes] of [
      [20, [0, 0, 0, 40]],
      [72, [0x80]],
      [36, [0xff, 0xff, 0xff, 0xff]],
    ] as const) {
      const bad = join(tempDir(), 'bad.qcow2');
      copyFileSync(file, bad);
      poke(bad, offset, bytes);
      expect(await judge(bad)).toEqual(['invalid', 'invalid']);
    }
    truncateSync(file, 50);
    expect((await judge(file))[0]).toBe('invalid');
  });

  test('tells of files that are several things at once, or packed', async () => {
    const both = await make('both.qcow2');
    writeFileSync(both, Buffer.concat([readFileSync(both), Buffer.from('conectix'.padEnd(512, '\0'))]));
    expect(await judge(both)).toContain('several-formats');
    const gzip = join(tempDir(), 'a.gz');
    writeFileSync(gzip, Buffer.from('1f8b0800000000000003', 'hex'));
    expect(await judge(gzip)).toContain('packed');
    const vmdk = join(tempDir(), 'a.vmdk');
    writeFileSync(vmdk, 'KDMV'.padEnd(1024, '\0'));
    expect(await judge(vmdk)).toEqual(['risky', 'several-formats']);
  });

  test('does not follow protocols, and waits for no pipe', async () => {
    const folder = tempDir();
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    for (const name of [
      join(folder, 'pipe'),
      folder,
      '/dev/null',
      join(folder, 'none'),
      'nbd://localhost:1/x',
      'json:{}',
    ]) {
      const { code, stdout, stderr } = await imgHere(['inspect', name]);
      expect({ name, code, stdout }).toEqual({ name, code: 1, stdout: '' });
      expect(stderr).toMatch(/^img: cannot inspect '[^\n]*\n$/);
    }
  });

  test('prints names from an image without what they could do to a terminal', async () => {
    const file = await make('a.qcow2', '-u', '-b', 'x\nverdict: safe\u001b[2J', '-F', 'raw');
    const { stdout } = await imgHere(['inspect', '--untrusted', file]);
    expect(stdout).toMatch(/^asks for: backing x\\x0averdict: safe\\x1b\[2J \(raw\)$/m);
    expect(await imgHere(['inspect', '-q', '--untrusted', file])).toEqual({ code: 2, stdout: '', stderr: '' });
  });
});
