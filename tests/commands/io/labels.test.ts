/** `-L` and the commands that speak of requests by name. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { makeImage } from '../../support/disk.ts';
import { ioHere } from '../../support/io-here.ts';
import { tempDir } from '../../support/temp.ts';

function rawFile(): string {
  const file = join(tempDir(), 'a.raw');
  writeFileSync(file, '');
  truncateSync(file, 1 << 20);
  return file;
}

/** Run on an image of zeroes under blkdebug. */
function onTop(commands: readonly string[]) {
  const spec = `driver=blkdebug,image.driver=raw,image.file.driver=file,image.file.filename=${rawFile()}`;
  return ioHere(commands, ['--image-opts', spec]);
}

const steady = (text: string) => text.replace(/^.*ops\/sec\)\n/gm, '');

describe('labels in io', () => {
  test('the example of the documentation', async () => {
    const path = fileURLToPath(new URL('../../../docs/testing-with-blkdebug.md', import.meta.url));
    const [, example = ''] = readFileSync(path, 'utf8').match(/^```io\n([\s\S]*?)^```/m) ?? [];
    const { code, stdout, stderr } = await onTop(example.trimEnd().split('\n'));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(steady(stdout)).toBe(
      [
        "blkdebug: Holding request 'first'",
        'read 65536/65536 bytes at offset 0',
        "blkdebug: Holding request 'second'",
        'first: held',
        'second: held',
        "blkdebug: Releasing request 'second'",
        'aio_write failed: No space left on device',
        "blkdebug: Releasing request 'first'",
        'wrote 65536/65536 bytes at offset 0',
        'read 65536/65536 bytes at offset 131072',
        '',
      ].join('\n'),
    );
  });

  test.each(['read', 'readv', 'write', 'writev', 'write -z', 'discard', 'aio_read', 'aio_write', 'aio_discard'])(
    '%s -L names its request, at its offset',
    async (command) => {
      const { code, stdout, stderr } = await onTop([
        'hold B',
        'aio_write -q -L B 0 512',
        'fail A EIO',
        `${command} -L A 4k 4k`,
        'release B',
        'wait_label A done',
        'aio_flush',
      ]);
      expect(stderr).toBe('');
      expect(stdout).toMatch(/failed: Input\/output error\n/);
      expect(code).toBe(command.startsWith('aio_') ? 0 : 1);
    },
  );

  test('flush -L', async () => {
    expect(await onTop(['write -q 0 512', 'fail A 28', 'flush -L A', 'labels'])).toEqual({
      code: 1,
      stdout: 'flush failed: No space left on device\nA: done\n',
      stderr: '',
    });
  });

  test('below a format, the first request of the kind', async () => {
    const file = join(tempDir(), 'a.qcow2');
    await makeImage('qcow2', file, { size: 1 << 20 });
    const commands = ['hold A', 'aio_write -q -L A 4k 4k', 'wait_label A', 'release A', 'aio_flush', 'read -q 4k 4k'];
    expect(await ioHere([...commands, 'aio_discard -q -L D 0 64k'], [`blkdebug::${file}`])).toEqual({
      code: 0,
      stdout:
        "blkdebug: Holding request 'A'\nblkdebug: Releasing request 'A'\n" +
        "blkdebug: No request came that could be called 'D'\n",
      stderr: '',
    });
  });

  test('one line for what cannot be done, and the next command runs', async () => {
    const held = ['hold A', 'aio_write -q -L A 0 4k', 'wait_label A'];
    const after = ['release A', 'aio_flush'];
    for (const [command, line] of [
      ['release B', "there is no label 'B'"],
      ['wait_label B', "there is no label 'B'"],
      ['wait_label B done', "there is no label 'B'"],
      ['wait_label B held', "there is no label 'B'"],
      ['wait_label A soon', "'soon' is none of arrived, held, done"],
      ['wait_label A done', "waiting for label 'A' would never end: it is held"],
      ['hold A sometime', "'sometime' is none of arrival, completion"],
      ['fail A ENONSENSE', "'ENONSENSE' is not an error that a request can fail with"],
      ['fail A 0', "'0' is not an error that a request can fail with"],
      ['fail A 99999', "'99999' is not an error that a request can fail with"],
      ['fail A -5', "'-5' is not an error that a request can fail with"],
      ['aio_write -L A 8k 4k', "label 'A' is in use by a request that has not completed"],
      ['write -L A 8k 4k', "label 'A' is in use by a request that has not completed"],
    ] as const) {
      const { code, stdout, stderr } = await onTop([...held, command, ...after]);
      expect({ command, code, stderr, stdout }).toEqual({
        command,
        code: 1,
        stderr: `io: ${line}\n`,
        stdout: "blkdebug: Holding request 'A'\nblkdebug: Releasing request 'A'\n",
      });
    }
  });

  test('without blkdebug', async () => {
    const commands = [
      'hold A',
      'release A',
      'fail A EIO',
      'wait_label A',
      'labels',
      'write -L A 0 512',
      'read -L A 0 1',
    ];
    const { code, stdout, stderr } = await ioHere([...commands, 'length'], ['-f', 'raw', rawFile()]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '1 MiB\n' });
    expect(stderr).toBe('io: no node of the image has labels\n'.repeat(commands.length));
  });

  test('what is held at the end is released, and that is said', async () => {
    const { code, stdout, stderr } = await onTop(['hold A', 'aio_write -q -L A 0 4k', 'wait_label A', 'hold B']);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: "blkdebug: Holding request 'A'\nblkdebug: Releasing request 'A'\n",
      stderr: 'io: requests are held by labels at the end: releasing all\n',
    });
  });

  test('closing releases too', async () => {
    const { code, stderr } = await onTop(['hold A completion', 'aio_write -q -L A 0 4k', 'wait_label A held', 'close']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'io: requests are held by labels at the end: releasing all\n',
    });
  });
});
