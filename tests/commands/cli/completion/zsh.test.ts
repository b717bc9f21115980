import { execFile } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findPeer, peersFor } from '../../../support/peers.ts';
import { tempDir } from '../../../support/temp.ts';
import { offersOf, PROGRAMS, scriptPath } from './offers.ts';

const run = promisify(execFile);
const zsh = findPeer('zsh') ?? 'zsh';

async function offers(...lines: string[]): Promise<string[][]> {
  const folder = tempDir();
  for (const program of PROGRAMS) copyFileSync(scriptPath('zsh', program), join(folder, `_${program}`));
  writeFileSync(join(folder, 'a-disk.qcow2'), '');
  const capture = join(import.meta.dirname, 'capture.zsh');
  const { stdout } = await run(zsh, ['-f', capture, folder, ...lines], { cwd: folder });
  return offersOf(stdout, lines);
}

describe.skipIf(peersFor('zsh').missing)('completion zsh', () => {
  test('offers commands, options and files', async () => {
    const found = await offers(
      'img con',
      'img convert --target-i',
      'img info a-',
      'img --trace a-',
      'io re',
      'io a-',
      'nbd --block',
      'img create x ',
    );
    expect(found).toEqual([
      ['convert'],
      ['--target-is-zero', '--target-image-opts'],
      ['a-disk.qcow2'],
      ['a-disk.qcow2'],
      ['replay'],
      ['a-disk.qcow2'],
      ['--blockdev'],
      [],
    ]);
  });

  test('offers an option once, and none that contradicts one that is given', async () => {
    const found = await offers('img info -f raw --fo', 'img info -f raw --image', 'img info --image');
    expect(found).toEqual([['--force-share'], [], ['--image-opts']]);
  });

  test('offers values', async () => {
    const found = await offers(
      'img info --output j',
      'img info --output=j',
      'img convert -Oqc',
      'img convert --progress=',
    );
    expect(found).toEqual([['json'], ['--output=json'], ['-Oqcow2'], ['--progress=human', '--progress=json']]);
  });

  test('offers creation options of the format that is chosen, and their values', async () => {
    const found = await offers(
      'img create -f qcow2 -o compression_t',
      'img create --format=qcow2 -o cluster_size=64k,compression_type=',
      'img create -o compression_t',
      'img convert -f raw -O luks -o key',
      'img amend -f qcow2 -o compa',
    );
    expect(found).toEqual([
      ['compression_type'],
      ['cluster_size=64k,compression_type=zlib', 'cluster_size=64k,compression_type=zstd'],
      [],
      ['key-secret'],
      ['compat'],
    ]);
  });

  test('offers objects and their options', async () => {
    const found = await offers('io --object secr', 'nbd --object secret,id=x,for', 'img info --object secret,format=');
    expect(found).toEqual([
      ['secret', 'secret_keyring'],
      ['secret,id=x,format'],
      ['secret,format=raw', 'secret,format=base64'],
    ]);
  });

  test('can be sourced instead', async () => {
    const text = `autoload -Uz compinit; compinit -u -D; source ${scriptPath('zsh', 'img')}; print $_comps[img]`;
    expect((await run(zsh, ['-fc', text])).stdout).toBe('_img\n');
  });
});
