/** Other people's NBD clients on our server. */
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere } from '../support/img-here.ts';
import { startNbd } from '../support/nbd-program.ts';
import { nbdInfo, peerOutput, peersFor, qemuImg, qemuIo, runPeer } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { tempDir } from '../support/temp.ts';
import { start } from '../support/tracked-child.ts';

const MiB = 1 << 20;

/** A raw disk with data, holes and data again. */
function makeDisk(folder: string): { path: string; content: Buffer } {
  const random = new Random(7);
  const content = Buffer.concat([random.bytes(3 * MiB), Buffer.alloc(10 * MiB), random.bytes(MiB)]);
  const path = join(folder, 'disk.raw');
  writeFileSync(path, content.subarray(0, 3 * MiB));
  truncateSync(path, 13 * MiB);
  writeFileSync(path, content.subarray(13 * MiB), { flag: 'a' });
  return { path, content };
}

describe.skipIf(peersFor('nbdinfo', 'nbdcopy').missing)('libnbd', () => {
  test('nbdinfo sees exports, what they can do, and their map', async () => {
    const { path } = makeDisk(tempDir());
    const server = await startNbd([
      '-t',
      '-e',
      '0',
      '-f',
      'raw',
      '-x',
      'a',
      '-D',
      'first',
      '-A',
      path,
      '--export',
      `name=b,file=${path},format=raw,read-only=on`,
    ]);
    const info = await nbdInfo<{ exports: Record<string, unknown>[] }>(server.uri('a'));
    expect(info.exports[0]).toMatchObject({
      'export-name': 'a',
      description: 'first',
      'export-size': 14 * MiB,
      can_multi_conn: true,
      can_fast_zero: true,
      can_df: true,
      is_read_only: false,
    });
    const list = JSON.parse(await peerOutput('nbdinfo', ['--list', '--json', server.uri()])) as typeof info;
    expect(list.exports.map((each) => [each['export-name'], each.is_read_only])).toEqual([
      ['a', false],
      ['b', true],
    ]);
    const map = JSON.parse(await peerOutput('nbdinfo', ['--map', '--json', server.uri('a')])) as {
      offset: number;
      length: number;
      type: number;
    }[];
    expect(map.map(({ offset, length, type }) => [offset, length, type])).toEqual([
      [0, 3 * MiB, 0],
      [3 * MiB, 10 * MiB, 3],
      [13 * MiB, MiB, 0],
    ]);
    expect((await runPeer('nbdinfo', ['--can', 'write', server.uri('b')])).code).toBe(2);
    expect((await runPeer('nbdinfo', ['--can', 'connect', server.uri('c')])).code).not.toBe(0);
  });

  test.each(['raw', 'qcow2'])('nbdcopy copies out and in over several connections, %s', async (format) => {
    const folder = tempDir();
    const { path, content } = makeDisk(folder);
    const image = join(folder, 'served');
    await qemuImg(['create', '-q', '-f', format, image, String(content.length)]);
    const server = await startNbd(['-t', '-e', '8', '-f', format, '--discard=unmap', image]);
    await peerOutput('nbdcopy', ['--connections=4', '--flush', path, server.uri()]);
    const out = join(folder, 'out.raw');
    await peerOutput('nbdcopy', ['--connections=4', server.uri(), out]);
    expect(readFileSync(out).equals(content)).toBe(true);
    expect(await server.end('SIGTERM')).toEqual({ code: 0, signal: null });
    await qemuImg(['compare', '-f', 'raw', '-F', format, path, image]);
    expect(server.output()).toBe('');
  });
});

/** Mounting takes more than the program: it runs where the kernel lets it. */
const NBDFUSE = '/usr/bin/nbdfuse';

test.skipIf(![NBDFUSE, '/dev/fuse', '/usr/bin/fusermount3'].every(existsSync))(
  'nbdfuse shows it as a file',
  async () => {
    const { path, content } = makeDisk(tempDir());
    const server = await startNbd(['-t', '-e', '0', '-f', 'raw', path]);
    const file = join(tempDir(), 'mounted', 'disk');
    mkdirSync(dirname(file));
    const mount = start(NBDFUSE, [file, server.uri()]);
    await expect.poll(() => existsSync(file) || mount.child.exitCode !== null).toBe(true);
    expect(readFileSync(file).equals(content)).toBe(true);
    writeFileSync(file, Buffer.alloc(MiB, 9), { flag: 'r+' });
    await mount.end('SIGTERM');
    await server.end('SIGTERM');
    expect(readFileSync(path).subarray(0, MiB + 1)).toEqual(
      Buffer.concat([Buffer.alloc(MiB, 9), content.subarray(MiB, MiB + 1)]),
    );
  },
);

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('QEMU', () => {
  test('compares, maps, writes zeroes and discards', async () => {
    const { path } = makeDisk(tempDir());
    const server = await startNbd(['-t', '-e', '0', '-f', 'raw', '--discard=unmap', path]);
    await qemuImg(['compare', '-f', 'raw', '-F', 'raw', path, server.uri()]);
    const map = JSON.parse(await qemuImg(['map', '--output=json', '-f', 'raw', server.uri()])) as { data: boolean }[];
    expect(map.map(({ data }) => data)).toEqual([true, false, true]);
    await qemuIo(
      server.uri(),
      ['write -P 9 1M 3M', 'write -z -u 1M 1M', 'discard 8M 1M', 'flush', 'read -P 0 1M 1M', 'read -P 9 2M 2M'],
      ['-f', 'raw'],
    );
    expect(
      readFileSync(path)
        .subarray(2 * MiB, 4 * MiB)
        .every((byte) => byte === 9),
    ).toBe(true);
  });

  test('sees a dirty bitmap', async () => {
    const image = join(tempDir(), 'disk.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', image, '4M']);
    await qemuImg(['bitmap', '--add', image, 'b0']);
    await qemuIo(image, ['write 1M 64k']);
    const server = await startNbd(['-t', '-f', 'qcow2', '-B', 'b0', image]);
    const options = `driver=nbd,server.type=unix,server.path=${server.socket},x-dirty-bitmap=qemu:dirty-bitmap:b0`;
    const map = JSON.parse(await qemuImg(['map', '--output=json', '--image-opts', options])) as {
      start: number;
      data: boolean;
    }[];
    expect(map.map(({ start, data }) => [start, data])).toEqual([
      [0, true],
      [MiB, false],
      [MiB + 65_536, true],
    ]);
  });
});

describe.skipIf(peersFor('fio').missing)('fio', () => {
  test.each(['raw', 'qcow2'])('verifies random reads and writes over eight connections, %s', async (format) => {
    const dir = tempDir();
    const { path } = makeDisk(dir);
    const image = join(dir, 'served');
    await imgHere(['convert', '-f', 'raw', '-O', format, path, image]);
    const server = await startNbd(['-t', '-e', '0', '-f', format, image]);
    const jobs = [
      '--numjobs=8',
      '--size=1500k',
      '--offset_increment=1500k',
      '--rw=randrw',
      '--bsrange=512-64k',
      '--bs_unaligned=0',
    ];
    const load = ['--iodepth=16', '--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--randseed=5', '--thread'];
    await peerOutput('fio', ['--name=v', '--ioengine=nbd', `--uri=${server.uri()}`, ...jobs, ...load], {
      cwd: tempDir(),
    });
    expect(await server.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(await imgHere(['check', '-f', format, image])).toMatchObject({ code: format === 'raw' ? 63 : 0 });
  });
});
