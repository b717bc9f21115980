/** Every command beside qemu-io: the same lines, the same exit status, the same bytes in the image. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ioHere } from '../../support/io-here.ts';
import { peersFor, qemuImg, qemuImgSame, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDirForSuite } from '../../support/temp.ts';

const peers = peersFor('qemu-img', 'qemu-io');
const folder = tempDirForSuite();

/** What differs between two runs of one program, and wording of errors, which is each program's own. */
function scrubbed(text: string): string {
  return text
    .replace(/\d+:\d\d:\d\d\.\d\d|\d\d\.\d\d sec/g, 'TIME')
    .replace(/\(\S+ \w+\/sec and \S+ ops\/sec\)/g, '(RATE)')
    .replace(/^(\d+,1,TIME),.*$/gm, '$1,RATE')
    .replace(/^(qemu-)?io: .*$/gm, 'PROGRAM: error')
    .replace(/ -- [a-z].*$/gm, ' -- SUMMARY')
    .replace(/\[-abCqv\]/g, '[-bCqv]');
}

interface Case {
  readonly base: string;
  readonly format: string;
  readonly commands: readonly string[];
}

/** Run both on a copy each; returns what ours printed. */
async function both({ base, format, commands }: Case): Promise<string> {
  const [ours, theirs] = ['ours.img', 'theirs.img'].map((name) => join(folder, name)) as [string, string];
  copyFileSync(base, ours);
  copyFileSync(base, theirs);
  const args = commands.flatMap((command) => ['-c', command]);
  const [mine, real] = await Promise.all([
    ioHere(commands, ['-f', format, ours]),
    runPeer('qemu-io', [...args, '-f', format, theirs], { cwd: folder }),
  ]);
  const seen = { code: mine.code, stdout: scrubbed(mine.stdout), stderr: scrubbed(mine.stderr) };
  expect(seen).toEqual({ code: real.code, stdout: scrubbed(real.stdout), stderr: scrubbed(real.stderr) });
  expect(await qemuImgSame(ours, theirs)).toBe(true);
  return mine.stdout;
}

/** Command lists; the pattern files and the base images are made below. */
const COMMON: readonly (readonly string[])[] = [
  [
    'read 0 4k',
    'read -C 0 4k',
    'read -q 0 4k',
    'read -v 100 40',
    'r 0x10 0x10',
    'read 1.5k 0.5k',
    'read 0 0',
    'read -p 0 1',
  ],
  ['read -P 0 3M 4k', 'read -P 1 3M 4k', 'read -P 3 -s 100 -l 50 3M 4k', 'read -P 1 -q 3M 4k', 'read -P 010 3M 8'],
  ['read -P 0 -s 100 -l 5000 0 4k', 'read -s 0 0 4k', 'read -P 256 0 4k', 'read -P 0x 0 4k', 'read -P -1 0 4k'],
  ['read -1 512', 'read 0 -1', 'read -- -1 512', 'read -z 0 1', 'read 0 1 -P', 'read', 'read 0', 'read 0 1 2'],
  ['read 4M 512', 'read 0 5M', 'read 0 3G', 'read 0 99999999999999999999', 'read 9223372036854775807 512', 'read x 1'],
  ['read -b 1 512', 'read -b 512 5', 'read -l x 0 1'],
  ['readv 0 4k 512', 'readv -P 0 3M 4k 512', 'readv -P 1 3M 4k 512', 'readv -v 0 3 4', 'readv -Cq 0 1'],
  ['readv 0 3G', 'readv 0 1G 1G', 'readv 0 x', 'readv 4M 1', 'readv 0'],
  ['write 0 4k', 'write -P 5 1 511', 'read -v 0 520', 'w -q 0 1', 'write -C 0 512', 'write -f 3 5', 'flush', 'f'],
  ['write -bz 0 4k', 'write -fb 0 4k', 'write -fc 0 4k', 'write -n 0 4k', 'write -u 0 4k', 'write -z -P 1 0 4k'],
  ['write -s pattern -P 1 0 1', 'write -k 0 1', 'write 0', 'write 0 1 2', 'write -c 1 512', 'write -b 512 5'],
  ['write 0 3G', 'write -z 0 3G', 'write -zn 0 3G', 'write 4M 512', 'write -z 4M 512', 'write 4095k 2k'],
  ['write 0 128k', 'write -z 1 70000', 'read -v 0 20', 'write -zu 64k 64k', 'write -zf 0 512', 'read -P 0 1 70000'],
  ['writev 0 512 512', 'writev -P 3 3 5 7', 'read -v 0 32', 'writev 4M 1', 'writev -z 0 1', 'writev -f 0 1 1'],
  ['discard 0 64k', 'discard -C 0 512', 'd -q 0 1', 'discard 4M 512', 'discard 0 3G', 'discard x 1', 'discard'],
  ['aio_write -P 9 0 4k', 'aio_flush', 'aio_read -P 9 0 4k', 'aio_flush', 'aio_read -v 0 20', 'aio_flush'],
  ['aio_read 0 4k', 'length', 'aio_flush', 'aio_write -C 0 512', 'length'],
  [
    'aio_read 4M 512',
    'aio_flush',
    'aio_write 4M 512',
    'aio_flush',
    'aio_write -z 4M 512',
    'aio_flush',
    'aio_read -P 1 3M 9',
  ],
  [
    'aio_write -i 0 512',
    'aio_read -i 0 512',
    'aio_write -u 0 512',
    'aio_write -z 0 512 512',
    'aio_read 0',
    'aio_read 0 x',
  ],
  ['flush x', 'flush 1 2', 'f 1 2 3', 'flush'],
  ['alloc 0', 'alloc 0 1M', 'a 5M', 'alloc 3M 4M', 'alloc x', 'alloc 0 1 2', 'map'],
  [
    'truncate 5M',
    'length',
    'read -P 0 4M 1M',
    'truncate 1M',
    'l',
    'truncate 1536',
    'length',
    'read 1024 512',
    'read 1536 1',
  ],
  ['truncate', 'truncate x', 'truncate -1', 'truncate -m foo 4M', 'truncate -m full 5M', 'length'],
  ['info', 'i', 'length 3', 'nope', '', '  length  ', 'help nope', 'help a b', 'quit 5', 'length'],
  [
    'break a b',
    'remove_break x',
    'resume x',
    'wait_break',
    'sleep x',
    'sleep -1',
    'sleep 1',
    'sigraise 0',
    'sigraise 9999',
  ],
  [
    'close',
    'length',
    'close',
    'open nofile',
    'open -z',
    'open',
    'open -t foo x',
    'open -d foo x',
    'open -i foo x',
    'read 0 1',
  ],
  ['reopen -r', 'write 0 512', 'reopen -w', 'write 0 512', 'reopen -r -w', 'reopen -c foo', 'reopen x', 'length'],
  [
    'reopen -o foo=bar',
    'length',
    'reopen -o driver=null-co',
    'length',
    'reopen -c none -o cache.direct=on',
    'reopen',
    'length',
  ],
  [
    'reopen -o read-only=maybe',
    'reopen -o read-only=off',
    'reopen -o file.filename=elsewhere',
    'reopen -o file.driver=nbd',
    'reopen -o file.driver=file',
    'reopen -o file.node-name=x',
    'write 0 512',
  ],
];

describe.skipIf(peers.missing).each(['raw', 'qcow2'])('commands on %s print what qemu-io prints', (format) => {
  const base = join(folder, `base.${format}`);

  test('the image is made', async () => {
    await qemuImg(['create', '-q', '-f', format, base, '4M']);
    await qemuIo(base, ['write -P 7 64k 100k', 'write -z 1M 64k'], ['-f', format]);
  });

  test.each(COMMON.map((commands) => [commands[0] ?? '', commands] as const))('%s …', async (_, commands) => {
    await both({ base, format, commands });
  });
});

describe.skipIf(peers.missing)('commands on qcow2', () => {
  const base = join(folder, 'special.qcow2');

  test.each([
    [['write -c 64k 64k', 'map', 'read -P 205 64k 64k', 'info']],
    [['write -zu 0 1M', 'map', 'discard 1M 1M', 'map', 'alloc 0 4M']],
    [['write -c 64k 512', 'write -c 512 64k', 'write -c 4032k 32k', 'write -c 0 128k', 'map']],
    [['reopen -o driver=qcow2', 'reopen -o driver=raw', 'write 0 512']],
    [['truncate -m metadata 8M', 'map', 'alloc 0 8M']],
    [['reopen -o lazy-refcounts=on', 'write 0 64k', 'info', 'reopen -o overlap-check=none', 'write 1M 512']],
  ])('%j', async (commands) => {
    await qemuImg(['create', '-q', '-f', 'qcow2', base, '4M']);
    await both({ base, format: 'qcow2', commands });
  });
});

describe.skipIf(peers.missing)('write -s', () => {
  test('repeats the file, and says what is wrong with it', async () => {
    const [image, pattern, empty] = ['s.raw', 'pattern', 'empty'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(pattern, 'abc');
    writeFileSync(empty, '');
    await qemuImg(['create', '-q', '-f', 'raw', image, '64k']);
    const commands = [
      `write -s ${pattern} 512 512`,
      `write -s ${empty} 0 1`,
      `write -s ${pattern}x 0 1`,
      `write -s ${folder} 0 1`,
    ];
    await both({ base: image, format: 'raw', commands });
    const { stderr } = await ioHere(commands, ['-f', 'raw', image]);
    expect(stderr).toBe(`${empty}: file is empty\n${pattern}x: No such file or directory\n${folder}: Is a directory\n`);
    expect(readFileSync(image).subarray(512, 1024).toString()).toBe(`${'abc'.repeat(170)}ab`);
  });
});
