/** The same rules and the same commands give the same outcome in qemu-io and in our io. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ioHere } from '../../support/io-here.ts';
import { peersFor, qemuImg, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

interface Case {
  readonly format: 'raw' | 'qcow2';
  readonly rules: string;
  readonly commands: readonly string[];
  readonly cache?: string;
  /** Options of blkdebug instead of a name with the file of rules. */
  readonly options?: string;
  /** The same for one that lies above the format. */
  readonly above?: string;
}

const CASES: Readonly<Record<string, Case>> = {
  'errors by event, once and for ever': {
    format: 'raw',
    rules:
      '[inject-error]\nevent = "write_aio"\nerrno = "28"\nonce = "on"\n[inject-error]\nevent = "read_aio"\niotype = "read"\n',
    commands: ['write 0 4k', 'write 0 4k', 'read 0 4k', 'read 4k 512', 'write 8k 512', 'read 8k 512'],
  },
  'errors in a sector': {
    format: 'raw',
    rules: '[inject-error]\nevent = "none"\nsector = "9"\nerrno = "5"\n',
    commands: ['read 0 4k', 'read 4k 512', 'read 4k 4k', 'write 4608 512', 'write 5k 512', 'flush', 'read 0 64k'],
  },
  'errors by kind': {
    format: 'raw',
    rules: '[inject-error]\nevent = "none"\niotype = "write-zeroes"\nerrno = "1"\n',
    commands: ['write -z 0 4k', 'write 0 4k', 'discard 0 4k', 'read 0 4k', 'write -z 0 4k'],
  },
  'a machine with states': {
    format: 'raw',
    rules:
      '[set-state]\nevent = "write_aio"\nstate = "1"\nnew_state = "2"\n' +
      '[set-state]\nevent = "write_aio"\nstate = "2"\nnew_state = "3"\n' +
      '[inject-error]\nevent = "write_aio"\nstate = "3"\nerrno = "28"\nonce = "on"\n',
    commands: ['write 0 512', 'write 0 512', 'write 0 512', 'write 0 512'],
  },
  'tables that cannot be loaded': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "l2_load"\nerrno = "5"\nonce = "on"\n',
    commands: ['read 0 4k', 'read 0 4k', 'write 0 4k', 'read 0 4k'],
  },
  'counts that are about to be changed': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "refblock_alloc"\nerrno = "28"\nonce = "on"\n',
    commands: ['write 0 4k', 'write 64k 64k', 'write 128k 64k', 'read 64k 128k'],
  },
  'counts that are in memory already': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "refblock_load"\nerrno = "28"\nonce = "on"\n',
    commands: ['write 64k 64k', 'write 128k 64k', 'read 64k 128k'],
  },
  'machine state that is to be stable when it is written': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "l2_update"\nerrno = "28"\nonce = "on"\n',
    cache: 'writethrough',
    commands: ['write -b 0 64k', 'write -b -P 3 64k 64k', 'read -b -P 3 64k 64k'],
  },
  'machine state that cannot be written': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "vmstate_save"\nerrno = "28"\nonce = "on"\n',
    commands: ['write 64k 64k', 'write -b 0 64k', 'write -b 0 64k', 'read -b 0 64k'],
  },
  'old content that cannot be written': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "cow_write"\nerrno = "28"\nonce = "on"\n',
    commands: ['write 64k 64k', 'write 128k 64k', 'write 0 64k', 'write 300k 512', 'write 300k 512'],
  },
  'a hint that is not supported': {
    format: 'raw',
    rules: '[inject-error] # of what follows\nevent = "none" # at once\niotype = "discard"\nerrno = "95"\n',
    commands: ['discard 0 64k', 'read -P 1 0 32k'],
  },
  'allocation that is asked for': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "write_aio"\niotype = "block-status"\n',
    commands: ['map', 'alloc 0 64k'],
  },
  'allocation that cannot be found out': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "l2_load"\nerrno = "5"\n',
    commands: ['alloc 0 64k', 'map', 'alloc 2M 1'],
  },
  'data that cannot be written': {
    format: 'qcow2',
    rules: '[inject-error]\nevent = "write_aio"\nerrno = "28"\nonce = "on"\n',
    commands: ['write 0 4k', 'write -P 3 64k 64k', 'read -P 3 64k 64k', 'flush'],
  },
  'requests suspended and resumed': {
    format: 'raw',
    rules: '',
    options: 'align=4096',
    commands: [
      'break pwritev_rmw_after_tail A',
      'aio_write -P 10 5k 1k',
      'wait_break A',
      'aio_write -P 11 8k 1k',
      'sleep 50',
      'resume A',
      'aio_flush',
      'read -P 10 5k 1k',
      'read -P 11 8k 1k',
      'resume A',
      'remove_break A',
    ],
  },
  'a request that overtakes one that waits': {
    format: 'raw',
    rules: '',
    options: 'align=4096,inject-error.event=none,inject-error.errno=0',
    commands: [
      'break pwritev_rmw_after_tail A',
      'aio_write -P 10 0xa000 0x200',
      'wait_break A',
      'aio_write -P 11 0xa800 0x1000',
      'break pwritev_rmw_after_head B',
      'aio_write -P 10 0xbe00 0x200',
      'wait_break B',
      'resume A',
      'sleep 50',
      'resume B',
      'aio_flush',
      'read -P 11 0xa800 0x1000',
    ],
  },
  'limits of less than a cluster': {
    format: 'qcow2',
    rules: '',
    above: 'opt-write-zero=1024,max-write-zero=2048,opt-discard=1024',
    commands: [
      'write -z 64k 512',
      'write -z 130k 4k',
      'write -zn 196k 4k',
      'write -z 33000 100',
      'discard 1000 40000',
      'map',
    ],
  },
  limits: {
    format: 'raw',
    rules: '',
    options: 'align=4096,max-transfer=8192,opt-write-zero=8192,max-write-zero=16384',
    commands: [
      'write -P 1 100 30000',
      'write -z 5000 20000',
      'read -P 1 100 4900',
      'read -P 0 5000 20000',
      'read -P 1 25000 5100',
    ],
  },
};

/** Without the time that a request took, and without the name of the program. */
function plain(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^[0-9.]+ .*(bytes|KiB|MiB), [0-9]+ ops/.test(line))
    .map((line) => line.replace(/^(qemu-)?io: /, ''));
}

describe.skipIf(peersFor('qemu-io', 'qemu-img').missing)('blkdebug of QEMU and ours', () => {
  test.each(Object.entries(CASES))('%s', async (_name, test) => {
    const { format, rules, commands, options, above, cache = 'writeback' } = test;
    const folder = tempDir();
    const [config, theirs, ours] = ['rules', 'theirs', 'ours'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(config, rules);
    await qemuImg(['create', '-q', '-f', format, theirs, '1M']);
    await runPeer('qemu-io', ['-f', format, '-c', 'write -P 1 0 32k', theirs]);
    copyFileSync(theirs, ours);
    const name = (image: string) =>
      above !== undefined
        ? ['--image-opts', `driver=blkdebug,image.driver=${format},image.file.filename=${image},${above}`]
        : options === undefined
          ? ['-f', format, `blkdebug:${config}:${image}`]
          : [
              '--image-opts',
              `driver=${format},file.driver=blkdebug,file.image.filename=${image},file.${options.replaceAll(',', ',file.')}`,
            ];
    const wanted = await runPeer('qemu-io', [
      '-t',
      cache,
      ...commands.flatMap((command) => ['-c', command]),
      ...name(theirs),
    ]);
    const found = await ioHere(commands, ['-t', cache, ...name(ours)]);
    // When a request that runs in the background ends is a matter of time.
    expect(plain(found.stdout).sort()).toEqual(plain(wanted.stdout).sort());
    expect(found.code).toBe(wanted.code);
    expect(plain(found.stderr).length).toBe(plain(wanted.stderr).length);
    const { code } = await runPeer('qemu-img', ['compare', '-f', format, '-F', format, theirs, ours]);
    expect(code).toBe(0);
  });
});
