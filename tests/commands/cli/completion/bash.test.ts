import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findPeer, peersFor, peersRequired } from '../../../support/peers.ts';
import { tempDir } from '../../../support/temp.ts';
import { offersOf, PROGRAMS, scriptPath } from './offers.ts';

const run = promisify(execFile);

/** Calls the function of the program of each line as readline would, with the line cut at = and :. */
const DRIVER = `
cut() { COMP_WORDS=(); local IFS=$' \\n' word; for word in $1; do
  while [[ $word == *[=:]* ]]; do
    local before=\${word%%[=:]*}; local mark=\${word:\${#before}:1}
    [[ -n $before ]] && COMP_WORDS+=("$before"); COMP_WORDS+=("$mark"); word=\${word:\${#before}+1}
  done
  [[ -n $word ]] && COMP_WORDS+=("$word"); done
  [[ $1 == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); }
for line; do
  cut "$line"; COMPREPLY=(); _\${COMP_WORDS[0]}
  printf '== %s\\n' "$line"; ((\${#COMPREPLY[@]})) && printf '%s\\n' "\${COMPREPLY[@]}"
done
:`;

const sources = PROGRAMS.map((program) => `source '${scriptPath('bash', program)}'`).join('\n');

async function offers(...lines: string[]): Promise<string[][]> {
  const { stdout } = await run(findPeer('bash') ?? 'bash', ['--norc', '-c', sources + DRIVER, 'bash', ...lines]);
  return offersOf(stdout, lines);
}

/** As when tab is pressed twice. */
async function offersListed(...lines: string[]): Promise<string[][]> {
  const driver = `COMP_TYPE=63; COLUMNS=100\n${sources}${DRIVER}`;
  const { stdout } = await run(findPeer('bash') ?? 'bash', ['--norc', '-c', driver, 'bash', ...lines]);
  return offersOf(stdout, lines);
}

describe.skipIf(peersFor('bash').missing)('completion bash', () => {
  test('offers commands and options', async () => {
    const found = await offers(
      'img con',
      'img convert --target-i',
      'img info --ba',
      'io re',
      'nbd --block',
      'img nope -',
    );
    expect(found).toEqual([
      ['convert'],
      ['--target-is-zero', '--target-image-opts'],
      ['--backing-chain'],
      ['replay'],
      ['--blockdev='],
      [],
    ]);
  });

  test('offers values behind a blank, an equals sign and a short option alike', async () => {
    const found = await offers(
      'img info --output j',
      'img info --output=j',
      'img convert -Oqc',
      'img -- info --output=',
    );
    expect(found).toEqual([['json'], ['json'], ['-Oqcow2'], ['human', 'json']]);
  });

  test('offers creation options of the format that is chosen, and their values', async () => {
    const found = await offers(
      'img create -f qcow2 -o compression_t',
      'img create --format=qcow2 -o cluster_size=64k,compression_type=',
      'img create -qfqcow2 --options=lazy_refcounts=',
      'img create -o compression_t',
      'img amend -f qcow2 -o compa',
      'img convert -f raw -O luks -o key',
    );
    expect(found).toEqual([['compression_type='], ['zlib', 'zstd'], ['on', 'off'], [], ['compat='], ['key-secret=']]);
  });

  test('tells what the words mean where they are only listed', async () => {
    const [found] = await offersListed('img co');
    expect(found).toContain('compare  (Compare the content of two images)');
  });

  test('offers objects and their options', async () => {
    const found = await offers('io --object secr', 'nbd --object secret,id=x,for', 'nbd --object secret,format=');
    expect(found).toEqual([['secret,', 'secret_keyring,'], ['x,format='], ['raw', 'base64']]);
  });

  test('knows where a command begins', async () => {
    const found = await offers(
      'img --trace convert inf',
      'img info conv',
      'nbd disk comp',
      'img -T x help meas',
      'io -c rea',
    );
    expect(found).toEqual([['info'], [], [], ['measure'], ['read', 'readv']]);
  });

  const bashCompletion = '/usr/share/bash-completion/bash_completion';
  test.skipIf(!existsSync(bashCompletion) && !peersRequired())('is found by bash-completion by itself', async () => {
    const folder = tempDir();
    mkdirSync(join(folder, 'bash-completion', 'completions'), { recursive: true });
    for (const program of PROGRAMS)
      copyFileSync(scriptPath('bash', program), join(folder, 'bash-completion', 'completions', program));
    const load = `source ${bashCompletion}; for name in img io nbd; do _completion_loader $name; complete -p $name; done`;
    const env = { ...process.env, XDG_DATA_HOME: folder, BASH_COMPLETION_USER_DIR: '' };
    const { stdout } = await run('bash', ['--norc', '-c', load], { env });
    expect(stdout).toBe(PROGRAMS.map((program) => `complete -o default -F _${program} ${program}\n`).join(''));
  });
});

describe.skipIf(peersFor('bash', 'script').missing)('completion bash, typed', () => {
  test('completes names of files, with quotes, and leaves the cursor behind = and ,', async () => {
    const folder = tempDir();
    writeFileSync(join(folder, 'a disk.qcow2'), '');
    const show = `img() { printf '<%s>' "$@"; echo; }`;
    const quiet = "PS1=; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'";
    writeFileSync(join(folder, '.rc'), [`source '${scriptPath('bash', 'img')}'`, show, quiet, ''].join('\n'));
    const typed = [
      'img inf\t--outp\tjs\ta\t',
      'img create -f qcow2 -o cluster_size=64k,compression_t\tzs\tx',
      'img --tra\ta\tinf\t',
      'img create -o secret\t --object secr\t\tx',
    ];
    const child = run('script', ['-qec', `bash --noprofile --rcfile .rc -i`, '/dev/null'], { cwd: folder });
    child.child.stdin?.end(`${[...typed, 'exit'].join('\n')}\n`);
    const { stdout } = await child;
    expect([...stdout.matchAll(/^<.*>/gm)].map(([line]) => line)).toEqual([
      '<info><--output=json><a disk.qcow2>',
      '<create><-f><qcow2><-o><cluster_size=64k,compression_type=zstd><x>',
      '<--trace=a disk.qcow2><info>',
      '<create><-o><secret><--object><secretx>',
    ]);
  });
});
