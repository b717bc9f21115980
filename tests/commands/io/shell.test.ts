/** What the shell does beyond single commands: opening, options, overlays, help, completion. */
import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commandTable } from '../../../src/commands/io/commands/index.ts';
import { complete } from '../../../src/commands/io/prompt.ts';
import { Shell } from '../../../src/commands/io/shell.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { imgOutput } from '../../support/cli.ts';
import { ioHere } from '../../support/io-here.ts';
import { tempDir } from '../../support/temp.ts';
import { fakeIo } from '../cli/fake-io.ts';

function disk(size = 1 << 20): string {
  const file = join(tempDir(), 'a.raw');
  writeFileSync(file, '');
  truncateSync(file, size);
  return file;
}

describe('io', () => {
  test('opens by name and format, by options, and by open', async () => {
    const file = disk();
    const opts = `driver=raw,file.driver=file,file.filename=${file}`;
    for (const [commands, args] of [
      [['length'], ['-f', 'raw', file]],
      [['length'], ['--image-opts', opts]],
      [[`open -o driver=raw ${file}`, 'length'], []],
      [[`open -o ${opts}`, 'length'], []],
      [[`open ${opts}`, 'length'], ['--image-opts']],
      [[`open -o driver=raw json:{"driver":"qcow2","file.filename":"${file}"}`, 'length'], []],
      [[`open -r -n -U -o driver=raw ${file}`, 'length'], []],
    ] as const) {
      expect(await ioHere(commands, args)).toEqual({ code: 0, stdout: '1 MiB\n', stderr: '' });
    }
  });

  test('runs on after a failed command and ends with 1', async () => {
    const result = await ioHere(['foo', 'length'], ['-f', 'raw', disk()]);
    expect(result).toEqual({ code: 1, stdout: '1 MiB\n', stderr: 'command "foo" not found\n' });
  });

  test('refuses what contradicts itself, and says so in one line', async () => {
    const file = disk();
    for (const args of [
      ['-f', 'raw', '--image-opts', 'driver=raw'],
      [file, file],
      ['-t', 'foo', file],
      ['-d', 'foo', file],
      ['-i', 'foo', file],
      ['-U', '-f', 'raw', file],
      ['-f', 'nope', file],
      ['--refs=some', file],
      ['--object', 'nonsense,id=a', file],
    ]) {
      const { code, stdout, stderr } = await ioHere(['length'], args);
      expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: '' });
      expect(stderr).toMatch(/^io: [^\n]+\n(Try [^\n]+\n)?$/);
    }
  });

  test('writes to a temporary overlay with -s, which is gone afterwards', async () => {
    const file = disk();
    const before = statSync(file).mtimeMs;
    const commands = ['write -q -P 1 0 64k', 'read -q -P 1 0 64k', 'reopen -r', 'read -q -P 1 0 64k'];
    expect(await ioHere(commands, ['-s', '-f', 'raw', file])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(statSync(file).mtimeMs).toBe(before);
    expect(readdirSync('/var/tmp').filter((name) => name.startsWith('blockyard-overlay-'))).toEqual([]);
    expect((await ioHere(['read -q -P 0 0 64k'], ['-f', 'raw', file])).code).toBe(0);
  });

  test('takes misaligned buffers with -m and past the page cache with -n', async () => {
    const commands = [
      'write -q -P 1 100 5000',
      'read -q -P 1 100 5000',
      'aio_write -P 2 1 9',
      'aio_flush',
      'read -P 2 -q 1 9',
    ];
    expect((await ioHere(commands, ['-m', '-n', '-f', 'raw', disk()])).code).toBe(0);
  });

  test('keeps the image when reopening fails', async () => {
    const { code, stdout, stderr } = await ioHere(
      ['reopen -o no-such=1', 'length', 'reopen -o driver=qcow2', 'length', 'write -q 0 1'],
      ['-f', 'raw', disk()],
    );
    expect({ code, stdout }).toEqual({ code: 1, stdout: '1 MiB\n1 MiB\n' });
    expect(stderr.split('\n')).toHaveLength(3);
  });

  test('takes no memory for a request that cannot be served', async () => {
    const before = process.memoryUsage().arrayBuffers;
    const { stdout } = await ioHere(
      ['read 0 2147483136', 'aio_write 0 2147483136', 'aio_flush'],
      ['-f', 'raw', disk()],
    );
    expect(stdout).toBe('read failed: Input/output error\naio_write failed: Input/output error\n');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 << 20);
  });

  test('changes options of an image that keeps what it reads', async () => {
    const folder = tempDir();
    const [base, top] = ['base.raw', 'top.qcow2'].map((name) => join(folder, name)) as [string, string];
    writeFileSync(base, Buffer.alloc(1 << 20, 7));
    await imgOutput(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top]);
    const commands = ['reopen -o lazy-refcounts=on', 'read -q -P 7 0 64k', 'alloc 0 1M', 'info'];
    for (const args of [
      ['-C', top],
      ['-C', '-s', top],
    ]) {
      const { code, stdout, stderr } = await ioHere(commands, args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('65536/1048576 bytes allocated at offset 0 bytes\n');
    }
  });

  test('accepts registered buffers, which cannot be made zero', async () => {
    const commands = [
      'write -r -P 1 0 1k',
      'read -r -P 1 0 1k',
      'readv -r 0 512',
      'writev -r 0 512',
      'write -rz 0 512',
    ];
    const { code, stdout } = await ioHere([...commands, 'aio_write -rz 0 512'], ['-f', 'raw', disk()]);
    expect(code).toBe(1);
    expect(stdout.split('\n').filter((line) => line.includes('offset'))).toHaveLength(4);
    expect(stdout).toMatch(/(-r and -z cannot be specified at the same time\n){2}$/);
  });

  test('shows what is not to be seen in a word that is wrong, and not all of it', async () => {
    const long = '9'.repeat(3000);
    const { stdout } = await ioHere(
      ['read 0 512\r', 'read -P 1\r 0 1', 'sleep 1\r', `read ${long} 1`],
      ['-f', 'raw', disk()],
    );
    expect(stdout.split('\n')).toEqual([
      'Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- 512\\x0d',
      '1\\x0d is not a valid pattern byte',
      '1\\x0d is not a valid number',
      `Parsing error: argument too large -- ${'9'.repeat(80)}…`,
      '',
    ]);
  });

  test('says of zones that there are none', async () => {
    const { code, stdout } = await ioHere(['zrp 0 1', 'zone_append 0 1 1', 'zo x 1'], ['-f', 'raw', disk()]);
    expect({ code, stdout: stdout.split('\n').slice(0, 2) }).toEqual({
      code: 1,
      stdout: ['zone report failed: Operation not supported', 'zone append failed: Operation not supported'],
    });
  });

  test('discards in the background under its own verb', async () => {
    const { stdout } = await ioHere(['aio_discard 0 64k', 'aio_flush'], ['-f', 'raw', disk()]);
    expect(stdout).toMatch(/^discarded {2}65536\/65536 bytes at offset 0\n64 KiB, 1 ops;/);
  });

  test('tells about each of its commands', async () => {
    const list = await ioHere(['help'], []);
    expect(list.stdout.split('\n').filter((line) => line.includes(' -- '))).toHaveLength(
      new Set(commandTable().values()).size,
    );
    const { stdout } = await ioHere(['help read'], []);
    expect(stdout).toMatch(/^read \[-bCqv\] .* -- reads a range of bytes\n/);
    expect(stdout).toContain(' -P pattern, -- Fail unless every byte is this one (0 to 255)\n');
  });

  test('shows its options and its version', async () => {
    expect((await ioHere([], ['--help'])).stdout).toMatch(/^Usage: io \[OPTIONS\] \[FILE\]\n/);
    expect((await ioHere([], ['-V'])).stdout).toMatch(/^io version /);
  });
});

describe('completion at the prompt', () => {
  const shell = new Shell({
    io: fakeIo(),
    graph: new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined }),
    commands: commandTable(),
    misaligned: false,
    imageOpts: false,
  });

  test.each([
    ['rea', ['read ', 'readv ']],
    ['  rea', ['read ', 'readv ']],
    ['read -', ['-C ', '-P ', '-L ', '-q ', '-r ', '-v ', '-b ', '-l ', '-p ', '-s ']],
    ['help tr', ['truncate ']],
    ['read 0', []],
    ['nope -', []],
  ])('of %j offers %j', (text, offered) => expect(complete(shell, text)[0]).toEqual(offered));
});
