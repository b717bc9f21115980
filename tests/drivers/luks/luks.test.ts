/** LUKS volumes: both ways with qemu-img, key slots, and headers that lie. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { HEADER_BYTES } from '../../../src/core/crypto/index.ts';
import { runProgram } from '../../support/cli.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { peersFor, qemuImg } from '../../support/peers.ts';
import { tempDir, tempDirForSuite } from '../../support/temp.ts';

const SECRET = ['--object', 'secret,id=s,data=swordfish'];
const OTHER = ['--object', 'secret,id=n,data=marlin'];
const MAKE = 'key-secret=s,iter-time=1';
const opened = (file: string, key = 's', driver = 'luks', option = 'key-secret') =>
  `driver=${driver},${option}=${key},file.filename=${file}`;

const dir = tempDirForSuite();
const disk = `${dir}/disk.raw`;

function plainDisk(): string {
  writeFileSync(disk, Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, at) => (at * 7 + (at >> 9)) & 255)));
  return disk;
}

async function made(options = MAKE, format = 'luks'): Promise<string> {
  const file = `${tempDir()}/disk.${format}`;
  await imgHereOutput(['convert', ...SECRET, '-f', 'raw', '-O', format, '-o', options, plainDisk(), file]);
  return file;
}

const compare = (spec: string, secrets: readonly string[] = SECRET) =>
  imgHere(['compare', '-q', ...secrets, '--image-opts', spec, `driver=raw,file.filename=${disk}`]);

describe.skipIf(peersFor('qemu-img').missing)('luks and qemu-img', () => {
  test.each(['', ',cipher-mode=cbc,ivgen-alg=essiv', ',cipher-alg=aes-128,hash-alg=sha1,ivgen-alg=plain'])(
    'read what the other has written%s',
    async (options) => {
      const ours = await made(MAKE + options);
      const raw = `driver=raw,file.filename=${disk}`;
      await qemuImg(['compare', ...SECRET, '--image-opts', opened(ours), raw]);
      const theirs = `${tempDir()}/theirs.luks`;
      await qemuImg(['convert', ...SECRET, '-f', 'raw', '-O', 'luks', '-o', MAKE + options, disk, theirs]);
      expect(await compare(opened(theirs))).toMatchObject({ code: 0 });
    },
  );

  test('read qcow2 images that the other has encrypted', async () => {
    const options = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1';
    const ours = await made(options, 'qcow2');
    const spec = (file: string) => opened(file, 's', 'qcow2', 'encrypt.key-secret');
    await qemuImg(['compare', ...SECRET, '--image-opts', spec(ours), `driver=raw,file.filename=${disk}`]);
    await qemuImg(['check', ...SECRET, '--image-opts', spec(ours)]);
    const theirs = `${tempDir()}/theirs.qcow2`;
    await qemuImg(['convert', ...SECRET, '-f', 'raw', '-O', 'qcow2', '-o', options, disk, theirs]);
    expect(await compare(spec(theirs))).toMatchObject({ code: 0 });
    const old = `${tempDir()}/old.qcow2`;
    const aes = 'encrypt.format=aes,encrypt.key-secret=s';
    await qemuImg(['convert', ...SECRET, '-f', 'raw', '-O', 'qcow2', '-o', aes, disk, old]);
    expect(await compare(spec(old))).toMatchObject({ code: 0 });
    // Over what is there, and parts of clusters at both ends.
    const write = ['-c', 'write -P 9 61k 10k', '-c', 'write -P 8 200k 300k'];
    const written = `${tempDir()}/written.raw`;
    copyFileSync(disk, written);
    for (const file of [
      ['--image-opts', spec(old)],
      ['-f', 'raw', written],
    ]) {
      expect(await runProgram('io', [...SECRET, ...write, ...file])).toMatchObject({ code: 0 });
    }
    await qemuImg(['compare', ...SECRET, '--image-opts', spec(old), `driver=raw,file.filename=${written}`]);
  });
});

test.skipIf(peersFor('qemu-img').missing)(
  'zeroes that the AES of old encrypts by their place stay zeroes in version 2',
  async () => {
    const top = `${tempDir()}/top.qcow2`;
    const aes = 'encrypt.format=aes,encrypt.key-secret=s,cluster_size=4k';
    await qemuImg(['create', '-q', ...SECRET, '-f', 'qcow2', '-b', plainDisk(), '-F', 'raw', '-o', aes, top]);
    const spec = opened(top, 's', 'qcow2', 'encrypt.key-secret');
    const io = (...commands: string[]) =>
      runProgram('io', [...SECRET, '--image-opts', ...commands.flatMap((command) => ['-c', command]), spec]);
    const looks = ['read -P 0 16k 4k', 'read -P 7 20k 8k', 'read -P 0 28k 4k', 'read -P 0 512k 20k'];
    await io('write -P 7 16k 16k', 'write -z 16k 4k', 'write -z 28k 4k', 'write -z 512k 20k', 'flush');
    await imgHereOutput(['amend', ...SECRET, '--image-opts', '-o', 'compat=0.10', spec]);
    const { stdout } = await io(...looks);
    expect(stdout).not.toContain('failed');
    expect(stdout.match(/^read /gm)).toHaveLength(looks.length);
  },
);

describe('luks', () => {
  test('a password is needed, and the right one; not for info', async () => {
    const file = await made();
    expect(await imgHere(['map', file])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("'key-secret' is required"),
    });
    const wrong = await compare(opened(file, 'n'), OTHER);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('the password opens no key slot')]);
    expect(wrong.stderr).not.toContain('marlin');
    expect(await imgHereOutput(['info', file])).toContain('encrypted: yes');
  });

  test('passwords come and go, but for the last one', async () => {
    const file = await made();
    const amend = (options: string, ...more: string[]) =>
      imgHere(['amend', ...SECRET, ...OTHER, '--image-opts', opened(file), '-o', options, ...more]);
    const last = { code: 1, stderr: expect.stringContaining('all data is lost') };
    expect(await amend('state=inactive,keyslot=0')).toMatchObject(last);
    expect(await amend('state=inactive,old-secret=s')).toMatchObject(last);
    expect(await amend('state=active,new-secret=n,iter-time=1')).toMatchObject({ code: 0 });
    expect(await amend('state=active,new-secret=n,keyslot=1')).toMatchObject({ code: 1 });
    expect(await amend('state=inactive,old-secret=s')).toMatchObject({ code: 0 });
    expect(await compare(opened(file))).toMatchObject({ code: 2 });
    expect(await compare(opened(file, 'n'), OTHER)).toMatchObject({ code: 0 });
  });

  test('refuses what cannot be computed', async () => {
    const create = ['create', ...SECRET, '-f', 'luks', '-o'];
    const file = `${tempDir()}/no.luks`;
    expect(await imgHere([...create, `${MAKE},cipher-alg=serpent-256`, file, '1M'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("cipher-alg 'serpent-256' is not supported"),
    });
    for (const word of ['aes', 'qcow']) {
      expect(await imgHere(['create', '-f', 'qcow2', '-o', `encrypt.format=${word}`, file, '1M'])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('new images are not encrypted as aes'),
      });
    }
  });

  test.each([
    ['iterations of a key slot', 212, 0xffffffff, 'iterations of key slot 0'],
    ['iterations of the digest', 164, 0xffffffff, 'mk-digest-iterations'],
    ['stripes', 252, 1, 'stripes of key slot 0'],
    ['a key slot in the header', 248, 0, 'key material offset of key slot 0'],
    ['a key slot in the data', 248, 0x7fffffff, 'it reaches into the data'],
    ['key slots on top of each other', 296, 8, 'it overlaps with that of key slot 0'],
    ['state of a key slot', 208, 7, 'state of key slot 0'],
    ['length of the key', 108, 4096, 'key-bytes'],
    ['data in the header', 104, 1, 'payload-offset'],
    ['data behind the end', 104, 0x7fffffff, 'past the end of the file'],
    ['version', 4, 0xbabe0002, 'version 2'],
  ])('refuses a header with a wrong %s', async (_what, offset, value, message) => {
    const file = await made();
    const bytes = readFileSync(file);
    bytes.writeUInt32BE(value, offset);
    writeFileSync(file, bytes);
    const result = await imgHere(['info', '-f', 'luks', file]);
    expect([result.code, result.stderr]).toEqual([1, expect.stringContaining(message)]);
    writeFileSync(file, bytes.subarray(0, HEADER_BYTES - 1));
    expect(await imgHere(['info', '-f', 'luks', file])).toMatchObject({ code: 1 });
  });
});
