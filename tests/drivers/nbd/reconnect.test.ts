/** Servers that go and come back. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ExportFlag } from '../../../src/core/nbd/index.ts';
import { imgHere } from '../../support/img-here.ts';
import { startNbdkit, startQemuNbd } from '../../support/nbd-servers.ts';
import { peersFor } from '../../support/peers.ts';
import { ALL_FLAGS, scriptedServer } from '../../support/scripted-nbd.ts';
import { tempDir } from '../../support/temp.ts';
import { openExport } from './support.ts';

const MIB = 1 << 20;

describe.skipIf(peersFor('nbdkit', 'qemu-nbd').missing)('a server that is killed under load and started again', () => {
  const disk = Buffer.from(
    Array.from({ length: 64 }, (_, index) => Buffer.alloc(256 * 1024, index + 1)).flatMap((b) => [...b]),
  );

  /** Serves `file` slowly; `busy` resolves when it has begun to answer a read or a write. */
  async function slowServer(file: string, socket: string) {
    const log = join(tempDir(), 'log');
    const slow = ['--filter=log', '--filter=delay', 'file', file, 'rdelay=30ms', 'wdelay=30ms', `logfile=${log}`];
    const server = await startNbdkit(slow, socket);
    const busy = () => expect.poll(() => readFileSync(log, 'utf8')).toMatch(/ (Read|Write) id=/);
    return { server, busy };
  }

  test('convert finishes, and the result is the same', async () => {
    const dir = tempDir();
    const [source, socket, out] = [join(dir, 'source'), join(dir, 'nbd'), join(dir, 'out')];
    writeFileSync(source, disk);
    let { server, busy } = await slowServer(source, socket);
    const options = `driver=raw,file.driver=nbd,file.path=${socket},file.reconnect-delay=20`;
    const running = imgHere(['convert', '-m', '1', '--image-opts', '-O', 'raw', options, out]);
    for (let kill = 0; kill < 3; kill++) {
      await busy();
      await server.stop('SIGKILL');
      ({ server, busy } = await slowServer(source, socket));
    }
    expect(await running).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(out).equals(disk)).toBe(true);
  });

  test('writing goes on too', async () => {
    const dir = tempDir();
    const [source, target, socket] = [join(dir, 'source'), join(dir, 'target'), join(dir, 'nbd')];
    writeFileSync(source, disk);
    writeFileSync(target, Buffer.alloc(disk.length, 0xaa));
    const { server, busy } = await slowServer(target, socket);
    const options = `driver=raw,file.driver=nbd,file.path=${socket},file.reconnect-delay=20`;
    const running = imgHere(['convert', '-n', '-f', 'raw', '--target-image-opts', source, options]);
    await busy();
    await server.stop('SIGKILL');
    await startQemuNbd(['-e', '4', '-f', 'raw', target], socket);
    expect(await running).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(target).equals(disk)).toBe(true);
  });
});

describe('a server that goes in the middle of the negotiation', () => {
  /** From the greeting to the last byte before the transmission. */
  const moments = [0, 1, 16, 18, 19, 38, 57, 58, 80];

  test.each(moments)('after %d bytes is tried again while the delay lasts', async (cut) => {
    const script: { cut?: number } = {};
    const server = await scriptedServer(script);
    await using opened = await openExport(server.uri, { 'reconnect-delay': 30 });
    script.cut = cut;
    await server.drop();
    const reading = Promise.resolve(opened.read(0, Buffer.alloc(512)));
    await expect.poll(() => server.connections).toBeGreaterThan(2);
    delete script.cut;
    await reading;
  });

  test.each(moments)('after %d bytes is tried again until open-timeout', async (cut) => {
    const script: { cut?: number } = { cut };
    const server = await scriptedServer(script);
    const opening = openExport(server.uri, { 'open-timeout': 30 });
    await expect.poll(() => server.connections).toBeGreaterThan(1);
    delete script.cut;
    await using _ = await opening;
  });

  test('without either, what is said is that the connection was closed', async () => {
    for (const cut of moments) {
      const server = await scriptedServer({ cut });
      await expect(openExport(server.uri)).rejects.toMatchObject({
        code: 'ECONNRESET',
        message: /the connection (was closed|failed)/,
      });
    }
  });
});

describe('without a delay', () => {
  test('convert ends in one line', async () => {
    let count = 0;
    const server = await scriptedServer({
      disk: Buffer.alloc(16 * MIB, 1),
      request: () => (++count > 2 ? null : undefined),
    });
    const { code, stderr } = await imgHere(['convert', '-f', 'raw', '-O', 'raw', server.uri, join(tempDir(), 'out')]);
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/the connection to NBD server '[^']+' is lost: .*reconnect-delay=SECONDS/);
  });
});

describe('with a delay', () => {
  test('requests that were under way are sent again, whole', async () => {
    const disk = Buffer.alloc(MIB);
    let drops = 3;
    const server = await scriptedServer({ disk, request: () => (drops-- > 0 ? null : undefined) });
    await using opened = await openExport(server.uri, { 'reconnect-delay': 10 });
    await Promise.all([0, 1, 2, 3].map((at) => opened.write(at * 4096, Buffer.alloc(4096, at + 1))));
    for (const at of [0, 1, 2, 3])
      expect(disk.subarray(at * 4096, at * 4096 + 4096).every((byte) => byte === at + 1)).toBe(true);
    expect(server.connections).toBeGreaterThan(1);
  });

  test('they fail when the server does not come back, and later ones work when it does', async () => {
    const server = await scriptedServer();
    await using opened = await openExport(server.uri, { 'reconnect-delay': 1 });
    await server.drop(false);
    await expect(Promise.resolve(opened.read(0, Buffer.alloc(512)))).rejects.toMatchObject({ code: 'EIO' });
    await server.listen();
    // The delay may have begun with the loss, before the read.
    await expect
      .poll(() =>
        Promise.resolve(opened.read(0, Buffer.alloc(512))).then(
          () => 'done',
          () => 'failed',
        ),
      )
      .toBe('done');
  });

  test('a server that took a smaller disk is not taken for the same', async () => {
    const script = { disk: Buffer.alloc(MIB, 1) };
    const server = await scriptedServer(script);
    await using opened = await openExport(server.uri, { 'reconnect-delay': 10 });
    script.disk = Buffer.alloc(MIB / 2, 1);
    await server.drop();
    await expect(Promise.resolve(opened.read(0, Buffer.alloc(512)))).rejects.toMatchObject({
      message: /it has 524288 bytes instead of 1048576/,
    });
  });

  test('a request that takes the server down every time is given up', async () => {
    const server = await scriptedServer({ request: ({ command }) => (command === 0 ? null : undefined) });
    await using opened = await openExport(server.uri, { 'reconnect-delay': 60 });
    await expect(Promise.resolve(opened.read(0, Buffer.alloc(512)))).rejects.toMatchObject({ code: 'EIO' });
    expect(server.connections).toBeLessThan(50);
  });
});

test('open-timeout waits for a server that is not there yet', async () => {
  const server = await scriptedServer();
  await server.drop(false);
  await expect(openExport(server.uri)).rejects.toMatchObject({ message: /Failed to connect to/ });
  const opening = openExport(server.uri, { 'open-timeout': 30 });
  setTimeout(() => void server.listen(), 150);
  await using _ = await opening;
});

describe('several connections', () => {
  const flags = ALL_FLAGS | ExportFlag.CAN_MULTI_CONN;

  test('are opened under load, where the server allows it, and share the work', async () => {
    const disk = Buffer.alloc(MIB);
    const used = new Set<number>();
    const server = await scriptedServer({
      disk,
      flags,
      request: (_request, connection) => {
        used.add(connection);
        return undefined;
      },
    });
    await using opened = await openExport(server.uri);
    await opened.read(0, Buffer.alloc(512));
    expect(server.connections).toBe(1);
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 64 }, (_, at) => opened.write(at * 4096, Buffer.alloc(4096, at + round))));
    }
    expect(server.connections).toBe(4);
    expect(used.size).toBe(4);
    for (let at = 0; at < 64; at++) expect(disk[at * 4096]).toBe(at + 19);
  });

  test('are not, where it does not', async () => {
    const server = await scriptedServer();
    await using opened = await openExport(server.uri);
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 64 }, (_, at) => opened.read(at * 4096, Buffer.alloc(4096))));
    }
    expect(server.connections).toBe(1);
  });

  test('the loss of one is made up for by the others', async () => {
    const disk = Buffer.alloc(MIB);
    const dropped = new Set<number>();
    const server = await scriptedServer({
      disk,
      flags,
      request: (_request, connection) => {
        if (connection === 1 || dropped.has(connection)) return undefined;
        dropped.add(connection);
        return null;
      },
    });
    await using opened = await openExport(server.uri);
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 64 }, (_, at) => opened.write(at * 4096, Buffer.alloc(4096, at + round))));
    }
    expect(dropped.size).toBeGreaterThan(0);
    for (let at = 0; at < 64; at++) expect(disk[at * 4096]).toBe(at + 19);
  });
});
