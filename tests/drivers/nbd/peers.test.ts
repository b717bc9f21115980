/** Exports of qemu-nbd and nbdkit, also with filters that misbehave on purpose. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Flag } from '../../../src/core/block/driver.ts';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { startNbdkit, startQemuNbd } from '../../support/nbd-servers.ts';
import { peersFor, qemuImg, qemuImgJson } from '../../support/peers.ts';
import { Random } from '../../support/random.ts';
import { tempDir } from '../../support/temp.ts';
import { openExport } from './support.ts';

const peers = peersFor('qemu-nbd', 'qemu-img', 'nbdkit');
const MIB = 1 << 20;
const SIZE = 8 * MIB;

/** A disk with data, holes and odd edges. */
function content(seed: number): Buffer {
  const random = new Random(seed);
  const disk = Buffer.alloc(SIZE);
  for (let at = 0; at < 20; at++) {
    const offset = random.below(SIZE / 4096) * 4096;
    disk.fill(1 + random.below(255), offset, Math.min(SIZE, offset + random.below(300_000)));
  }
  return disk;
}

function diskFile(disk: Buffer): string {
  const file = join(tempDir(), 'disk');
  writeFileSync(file, disk);
  return file;
}

describe.skipIf(peers.missing)('qemu-nbd', () => {
  test('converting from an export and onto one keeps every byte', async () => {
    const disk = content(1);
    const dir = tempDir();
    const source = await startQemuNbd(['-e', '8', '-f', 'raw', diskFile(disk)]);
    const targetFile = diskFile(Buffer.alloc(SIZE, 0xaa));
    const target = await startQemuNbd(['-e', '8', '-f', 'raw', targetFile]);
    await imgHereOutput(['convert', '-O', 'qcow2', source.uri(), join(dir, 'copy.qcow2')]);
    await imgHereOutput(['convert', '-n', '-O', 'raw', join(dir, 'copy.qcow2'), target.uri()]);
    expect(readFileSync(targetFile).equals(disk)).toBe(true);
    expect((await imgHere(['compare', source.uri(), target.uri()])).stdout).toBe('Images are identical.\n');
  });

  test('its map, status of a bitmap and depths are what its own client shows', async () => {
    const dir = tempDir();
    const [base, top] = [join(dir, 'base.qcow2'), join(dir, 'top.qcow2')];
    await qemuImg(['create', '-q', '-f', 'qcow2', base, '4M']);
    await openWrite(base, [[65_536, 200_000]]);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top]);
    await qemuImg(['bitmap', '--add', top, 'b0']);
    await openWrite(top, [[MIB, 65_536]]);
    const server = await startQemuNbd(['-A', '-B', 'b0', '-r', '-f', 'qcow2', top]);
    const options = (context: string) => [
      '--image-opts',
      `driver=nbd,server.type=unix,server.path=${server.socket}${context === '' ? '' : `,x-dirty-bitmap=${context}`}`,
    ];
    for (const context of ['', 'qemu:dirty-bitmap:b0', 'qemu:allocation-depth']) {
      const ours: unknown = JSON.parse(await imgHereOutput(['map', '--output=json', ...options(context)]));
      expect(ours).toEqual(await qemuImgJson(['map', ...options(context)]));
    }
    const { code, stderr } = await imgHere(['map', ...options('qemu:dirty-bitmap:none')]);
    expect({ code, stderr }).toMatchObject({ code: 1 });
    expect(stderr).toContain("no metadata context 'qemu:dirty-bitmap:none'");
  });

  test('a format is made and used on an export', async () => {
    const server = await startQemuNbd(['-e', '8', '-f', 'raw', diskFile(Buffer.alloc(4 * MIB, 1))]);
    await imgHereOutput(['create', '-q', '-f', 'qcow2', server.uri(), '16M']);
    await imgHereOutput(['convert', '-n', '-O', 'qcow2', diskFile(Buffer.alloc(MIB, 9)), server.uri()]);
    expect(await qemuImg(['check', server.uri()])).toContain('No errors');
    const raw = await imgHere(['create', '-f', 'raw', server.uri(), '1G']);
    expect(raw.code).toBe(1);
    expect(raw.stderr).toMatch(/has 4194304 bytes and cannot be resized to 1073741824/);
  });

  test('a read-only export cannot be opened for writing', async () => {
    const server = await startQemuNbd(['-r', '-f', 'raw', diskFile(content(2))]);
    await expect(openExport(server.uri())).rejects.toMatchObject({ code: 'EACCES', message: /is a read-only export/ });
    await using _ = await openExport(server.uri(), { readOnly: true });
  });

  test('names in all their forms lead to the export, and come back as one URI', async () => {
    const server = await startQemuNbd(['-x', 'a name/ü', '-f', 'raw', diskFile(Buffer.alloc(MIB))]);
    const uri = `nbd+unix:///a%20name/%C3%BC?socket=${server.socket}`;
    for (const name of [
      uri,
      `nbd:unix:${server.socket}:exportname=a name/ü`,
      `json:{"driver":"nbd","path":"${server.socket}","export":"a name/ü"}`,
    ]) {
      const [line] = (await imgHereOutput(['info', name])).split('\n');
      expect(line).toBe(`image: ${uri}`);
    }
    const other = await imgHere(['info', server.uri('other')]);
    expect(other.stderr).toMatch(/export 'other' is not there/);
  });
});

/** Write to a qcow2 file through our own driver. */
async function openWrite(file: string, ranges: readonly (readonly [number, number])[]): Promise<void> {
  const commands = ranges.map(([offset, length]) => `write -P 7 ${offset} ${length}`);
  const { qemuIo } = await import('../../support/peers.ts');
  await qemuIo(file, commands, ['-f', 'qcow2']);
}

describe.skipIf(peers.missing)('nbdkit', () => {
  const random = async (server: { uri(): string }, seed: number, rounds = 60): Promise<void> => {
    const numbers = new Random(seed);
    const model = Buffer.alloc(SIZE);
    await using opened = await openExport(server.uri());
    expect(opened.disk.size).toBe(SIZE);
    for (let round = 0; round < rounds; round++) {
      const offset = numbers.below(SIZE);
      const length = Math.min(SIZE - offset, 1 + numbers.below(300_000));
      const action = numbers.below(5);
      if (action < 2) {
        const buf = Buffer.alloc(length, 1 + numbers.below(255));
        await opened.write(offset, buf, action === 1 ? Flag.FUA : 0);
        buf.copy(model, offset);
      } else if (action === 2) {
        await opened.zero(offset, length, numbers.below(2) === 1 ? Flag.MAY_UNMAP : 0);
        model.fill(0, offset, offset + length);
      } else {
        const buf = Buffer.alloc(length, 0xee);
        await opened.read(offset, buf);
        expect(buf.equals(model.subarray(offset, offset + length))).toBe(true);
      }
    }
    await opened.flush();
    const all = Buffer.alloc(SIZE, 0xee);
    await opened.read(0, all);
    expect(all.equals(model)).toBe(true);
    for (let offset = 0; offset < SIZE; ) {
      const { length, zero } = await opened.disk.chainStatus(offset, SIZE - offset);
      if (zero) expect(model.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
      offset += length;
    }
  };

  test.each([
    ['plainly', ['memory', '8M']],
    [
      'with blocks of 4 KiB',
      [
        '--filter=blocksize-policy',
        'memory',
        '8M',
        'blocksize-minimum=4096',
        'blocksize-preferred=64K',
        'blocksize-maximum=128K',
        'blocksize-error-policy=error',
      ],
    ],
    [
      'with blocks that it splits itself',
      ['--filter=blocksize', 'memory', '8M', 'minblock=4096', 'maxdata=32K', 'maxlen=1M'],
    ],
    ['without extents', ['--filter=noextents', 'memory', '8M']],
    ['without zeroing', ['--filter=nozero', 'memory', '8M']],
    ['with forcing that is none', ['--filter=fua', 'memory', '8M', 'fuamode=discard']],
    ['with multi-conn', ['--filter=multi-conn', 'memory', '8M', 'multi-conn-mode=emulate']],
    [
      'with delays, so that replies overtake each other',
      ['--filter=delay', 'memory', '8M', 'rdelay=1ms', 'wdelay=2ms'],
    ],
    ['with old replies', ['--no-sr', 'memory', '8M']],
    ['in the newstyle that is not fixed', ['--mask-handshake=0', 'memory', '8M']],
    ['with zeroes in the negotiation', ['--mask-handshake=1', '--no-sr', 'memory', '8M']],
    ['with its data cut into pieces', ['--filter=cow', '--filter=cache', 'memory', '8M']],
  ])('random requests agree with a model: %s', async (_name, args) => {
    await random(await startNbdkit(args), 7);
  });

  test('the old style', async () => {
    const server = await startNbdkit(['-o', 'pattern', '1M']);
    const out = join(tempDir(), 'out');
    await imgHereOutput(['convert', '-f', 'raw', '-O', 'raw', server.uri(), out]);
    const copy = readFileSync(out);
    for (let at = 0; at < MIB; at += 8) expect(copy.readUInt32BE(at + 4)).toBe(at);
    expect((await imgHere(['info', server.uri('named')])).stderr).toMatch(/knows no names of exports/);
  });

  test('an export whose size is no whole number of sectors', async () => {
    const server = await startNbdkit(['--filter=truncate', 'pattern', '1M', 'truncate=1000001']);
    await using opened = await openExport(server.uri(), { readOnly: true });
    const buf = Buffer.alloc(1000, 0xee);
    await opened.read(1_000_001 - 1000, buf);
    expect(buf.readBigUInt64BE(1000 - 1000 + (8 - ((1_000_001 - 1000) % 8)))).toBeTypeOf('bigint');
    const out = join(tempDir(), 'out');
    await imgHereOutput(['convert', '-f', 'raw', '-O', 'raw', server.uri(), out]);
    expect(readFileSync(out).subarray(999_001, 1_000_001).equals(buf)).toBe(true);
  });

  test('errors on purpose come through, with their code, and the connection goes on', async () => {
    const server = await startNbdkit([
      '--filter=error',
      'memory',
      '1M',
      'error-pread=ENOSPC',
      'error-pread-rate=50%',
      'error-pwrite=EPERM',
      'error-pwrite-rate=50%',
    ]);
    await using opened = await openExport(server.uri());
    const codes = new Map<string, number>();
    for (let round = 0; round < 60; round++) {
      const action = round % 2 === 0 ? opened.read(0, Buffer.alloc(512)) : opened.write(512, Buffer.alloc(512, 1));
      const outcome = await Promise.resolve(action).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      codes.set(outcome, (codes.get(outcome) ?? 0) + 1);
    }
    expect([...codes.keys()].sort()).toEqual(['ENOSPC', 'EPERM', 'done']);
  });

  test('exitlast: a command is connected from its beginning to its end, and no longer', async () => {
    const disk = content(3);
    const target = diskFile(Buffer.alloc(SIZE));
    const server = await startNbdkit(['--filter=exitlast', '--filter=multi-conn', 'file', target]);
    await imgHereOutput(['convert', '-n', '-f', 'raw', '-O', 'raw', diskFile(disk), server.uri()]);
    expect(await server.ended()).toBe(0);
    expect(readFileSync(target).equals(disk)).toBe(true);
    const { code, stderr } = await imgHere(['info', server.uri()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^img: Could not open '.+': .*(No such file|refused)[^\n]*\n$/);
  });

  test('tls-fallback: what is served without TLS is not what was asked for with it', async () => {
    const server = await startNbdkit(['--filter=tls-fallback', 'pattern', '1M']);
    const plain = await imgHere(['info', server.uri()]);
    expect(plain.stdout).toContain('virtual size: 512 B');
    const demanded = await imgHere(['info', server.uri().replace('nbd+unix', 'nbds+unix')]);
    expect(demanded).toMatchObject({ code: 1, stdout: '' });
    expect(demanded.stderr).toMatch(/TLS is not (supported|allowed) by the server/);
  });
});
