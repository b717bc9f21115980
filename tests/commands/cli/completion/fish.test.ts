import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findPeer, peersFor } from '../../../support/peers.ts';
import { tempDir } from '../../../support/temp.ts';
import { offersOf, PROGRAMS, scriptPath } from './offers.ts';

const run = promisify(execFile);
const SHOW = `for line in $argv; echo "== $line"; complete -C $line; end`;

/** With the help behind a tab. */
async function offersWithHelp(...lines: string[]): Promise<string[][]> {
  const folder = tempDir();
  writeFileSync(join(folder, 'a-disk.qcow2'), '');
  const text = [...PROGRAMS.map((program) => `source '${scriptPath('fish', program)}'`), SHOW].join('\n');
  const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
  const { stdout } = await run(findPeer('fish') ?? 'fish', ['--no-config', '-c', text, ...lines], { cwd: folder, env });
  return offersOf(stdout, lines);
}

async function offers(...lines: string[]): Promise<string[][]> {
  return (await offersWithHelp(...lines)).map((words) => words.map((word) => word.replace(/\t.*/, '')));
}

describe.skipIf(peersFor('fish').missing)('completion fish', () => {
  test('offers commands and options with their help', async () => {
    expect(await offersWithHelp('img resi', 'img convert --salv')).toEqual([
      ['resize\tMake the disk of an image longer or shorter'],
      ['--salvage\tPut zeroes where the source cannot be read, and go on'],
    ]);
  });

  test('offers commands, options and files where they belong', async () => {
    const found = await offers(
      'img convert --target-i',
      'img info a-',
      'img --trace a-',
      'img --trace a-disk.qcow2 meas',
      'img a-',
      'io re',
      'io a-',
      'nbd --block',
      'img completion ',
    );
    expect(found).toEqual([
      ['--target-image-opts', '--target-is-zero'],
      ['a-disk.qcow2'],
      ['a-disk.qcow2'],
      ['measure'],
      [],
      ['replay'],
      ['a-disk.qcow2'],
      ['--blockdev'],
      ['bash', 'fish', 'zsh'],
    ]);
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
      'img create -fqcow2 --options=backing_file=a-',
      'img create -o compression_t',
      'img convert -f raw -O luks -o key',
      'img amend -f qcow2 -o compa',
    );
    expect(found).toEqual([
      ['compression_type='],
      ['cluster_size=64k,compression_type=zlib', 'cluster_size=64k,compression_type=zstd'],
      ['--options=backing_file=a-disk.qcow2'],
      [],
      ['key-secret='],
      ['compat='],
    ]);
  });

  test('offers objects and their options', async () => {
    const found = await offers('io --object secr', 'nbd --object secret,id=x,for', 'nbd --object secret,format=');
    expect(found).toEqual([
      ['secret,', 'secret_keyring,'],
      ['secret,id=x,format='],
      ['secret,format=base64', 'secret,format=raw'],
    ]);
  });
});
