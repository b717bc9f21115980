import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere } from '../../support/img-here.ts';
import { peersFor, qemuImg, qemuImgSame, qemuIo, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { holdOpen } from './hold-open.ts';

const MiB = 1024 * 1024;

/** What follows `bench`, FILE being an image of 8 MiB of the format that is given. */
const READS: readonly string[] = [
  '-c 3 FILE',
  'FILE -c 0x10 -d 2',
  '-c 0 FILE',
  '-q -c 5 FILE',
  '-c 5 -s 64k FILE',
  '-c 500 -s 64k -S 1M FILE',
  '-c 5 -s 100 -S 7 -o 1k FILE',
  '-c 5 -S 0 FILE',
  '-c 5 -d 1 -o 7M FILE',
  '-c 5 -t none FILE',
  '-c 5 -t off FILE',
  '-c 5 -t directsync FILE',
  '-c 5 -i threads FILE',
  '-c 5 -U FILE',
  '-c 5 --pattern 5 FILE',
  '-c 5 --no-drain FILE',
  '-c 5 --flush-interval=0 FILE',
  '-c 3 -s 8M FILE',
  // What is wrong:
  '-c 3 -o 8M FILE',
  '-c 3 -o 1T FILE',
  '-c 3 -s 9M FILE',
  '-c 3 --flush-interval 3 FILE',
  '-c x FILE',
  '-c -1 FILE',
  '-c 3000000000 FILE',
  '-d x FILE',
  '-o x FILE',
  '-s x FILE',
  '-s 3G FILE',
  '-S 3G FILE',
  '-t some FILE',
  '-i some FILE',
  '-n FILE',
  '--pattern 256 FILE',
  '--flush-interval x FILE',
  '--nothing FILE',
  'FILE FILE',
  '-c 3',
];

const WRITES: readonly string[] = [
  '-w -c 9 FILE',
  '-w -c 100 --pattern=66 -s 512 -S 4k FILE',
  '-w -c 100 --pattern 0x42 -s 1000 -S 999 -o 5 FILE',
  '-w -c 40 -d 4 --flush-interval=4 --pattern=7 FILE',
  '-w -c 40 -d 4 --flush-interval=10 --no-drain --pattern=7 FILE',
  '-w -c 300 -s 64k --pattern=9 FILE',
  '-w -c 9 -t writethrough --pattern=9 FILE',
  '-w -c 9 -t unsafe -d 2 --flush-interval=3 --pattern=9 FILE',
  '-w -c 9 -t none -s 4k --pattern=9 FILE',
  '-w -c 9 --flush-interval=3 FILE',
  '-w -U -c 3 FILE',
];

const timeless = (text: string): string => text.replace(/in \d+\.\d{3} seconds/, 'in T seconds');

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('img bench, as qemu-img does', () => {
  async function both(format: string, words: string, files: readonly [string, string]): Promise<void> {
    const args = (file: string) => ['bench', '-f', format, ...words.split(' ').map((w) => (w === 'FILE' ? file : w))];
    const [ours, theirs] = await Promise.all([imgHere(args(files[0])), runPeer('qemu-img', args(files[1]))]);
    expect({ words, code: ours.code, stdout: timeless(ours.stdout), silent: ours.stderr === '' }).toEqual({
      words,
      code: theirs.code,
      stdout: timeless(theirs.stdout),
      silent: theirs.stderr === '',
    });
    if (ours.code !== 0) expect(ours.stderr, words).toMatch(/^img: [^\n]+\n([^\n]+\n)?$/);
  }

  async function twice(format: string): Promise<readonly [string, string]> {
    const dir = tempDir();
    const files = [join(dir, 'ours'), join(dir, 'theirs')] as const;
    for (const file of files) {
      await qemuImg(['create', '-q', '-f', format, file, '8M']);
      await qemuIo(file, ['write -P 1 0 3M'], ['-f', format]);
    }
    return files;
  }

  test.each(['raw', 'qcow2'])('reading %s', async (format) => {
    const files = await twice(format);
    for (const words of READS) await both(format, words, files);
  });

  test.each(['raw', 'qcow2'])('writing %s', async (format) => {
    for (const words of WRITES) {
      const files = await twice(format);
      await both(format, words, files);
      expect({ words, same: await qemuImgSame(...files) }).toEqual({ words, same: true });
    }
  });

  test('an image that another program writes to needs -U', async () => {
    const file = join(tempDir(), 'a.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', file, '1M']);
    await holdOpen(file);
    expect((await imgHere(['bench', '-c', '3', file])).code).toBe(1);
    expect((await imgHere(['bench', '-c', '3', '-U', file])).code).toBe(0);
    expect((await imgHere(['bench', '-c', '3', '-w', file])).code).toBe(1);
  });
});

describe('img bench', () => {
  test('reads by default 75000 times 4 KiB, 64 at a time, and leaves the image as it is', async () => {
    const file = join(tempDir(), 'a.raw');
    fs.writeFileSync(file, Buffer.alloc(MiB, 5));
    const { code, stdout, stderr } = await imgHere(['bench', '-f', 'raw', file]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      new RegExp(
        '^Sending 75000 read requests, 4096 bytes each, 64 in parallel \\(starting at offset 0, step size 4096\\)\n' +
          'Run completed in \\d+\\.\\d{3} seconds\\.\n$',
      ),
    );
    expect(fs.readFileSync(file).equals(Buffer.alloc(MiB, 5))).toBe(true);
  });

  test('says so when there is no such way of input and output, or no place to begin', async () => {
    const file = join(tempDir(), 'a.raw');
    fs.writeFileSync(file, Buffer.alloc(MiB));
    const errors = async (...words: string[]) => (await imgHere(['bench', '-f', 'raw', ...words, file])).stderr;
    expect(await errors('-n')).toMatch(/^img: .*aio=native needs cache.direct=on/);
    expect(await errors('-t', 'none', '-i', 'io_uring')).toMatch(
      /^img: .*aio=io_uring is not available: .*threads only/,
    );
    expect(await errors('-i', 'what')).toBe("img: option '-i' expects threads, not 'what'\n");
    expect(await errors('-d', '0')).toMatch(/^img: option '-d' expects a whole number from 1 /);
    expect(await errors('-o', '1M')).toMatch(/^img: Failed request: read at offset 1048576: .* outside the disk/);
    expect(await errors('--flush-interval=3')).toBe("img: option '--flush-interval' needs -w: reads are not flushed\n");
    fs.truncateSync(file, 0);
    expect(await errors()).toMatch(/outside the disk of 0 bytes\n$/);
  });

  test('goes on at the beginning where a request would cross the end', async () => {
    const file = join(tempDir(), 'a.raw');
    fs.writeFileSync(file, Buffer.alloc(10_240));
    const args = ['bench', '-f', 'raw', '-w', '-c', '3', '--pattern=3', file];
    expect((await imgHere(args)).code).toBe(0);
    expect(fs.readFileSync(file).indexOf(0)).toBe(8192);
  });

  test('opens an image described by options, and stops when told to', async () => {
    const file = join(tempDir(), 'a.raw');
    fs.writeFileSync(file, Buffer.alloc(MiB));
    const spec = `driver=raw,file.filename=${file}`;
    expect((await imgHere(['bench', '-c', '3', '--image-opts', spec])).code).toBe(0);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 50);
    const { stdout, stderr } = await imgHere(['bench', '-c', '2000000000', '--image-opts', spec], stop.signal);
    expect(stdout).not.toContain('completed');
    expect(stderr).toBe('');
  });
});
