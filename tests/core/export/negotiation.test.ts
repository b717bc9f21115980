/** The option phase against doc/proto.md, spoken by hand. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { ServerCredentials } from '../../../src/core/export/index.ts';
import { contextData, ERROR, infoData, optionBytes, RawClient, u32 } from '../../support/nbd-raw-client.ts';
import { serveMemory } from '../../support/nbd-server.ts';

const types = (answers: readonly { type: number }[]): number[] => answers.map(({ type }) => type);

describe('the option phase', () => {
  test('greets in fixed newstyle and answers LIST, INFO, unknown options and ABORT', async () => {
    const { path } = await serveMemory({ target: { description: 'a disk' } });
    const client = await RawClient.open(path);
    const greeting = await client.greet();
    expect(greeting.subarray(0, 16).toString()).toBe('NBDMAGICIHAVEOPT');
    expect(greeting.readUInt16BE(16)).toBe(3);
    const list = await client.option(3);
    expect(types(list)).toEqual([2, 1]);
    expect(list[0]?.data.subarray(4).toString()).toBe('diska disk');
    const info = await client.option(6, infoData('disk', [1, 3]));
    expect(info.slice(0, -1).map(({ data }) => data.readUInt16BE(0))).toEqual([1, 2, 3, 0]);
    expect(info[3]?.data.readBigUInt64BE(2)).toBe(1n << 20n);
    expect(types(await client.option(6, infoData('other', [])))).toEqual([ERROR + 6]);
    expect(types(await client.option(77, Buffer.alloc(1000)))).toEqual([ERROR + 1]);
    expect(types(await client.option(3, Buffer.alloc(1)))).toEqual([ERROR + 3]);
    expect(types(await client.option(2))).toEqual([1]);
    await client.closed();
  });

  test.each([0, 1, 256, 4096])('finds an export whose name has %d bytes', async (length) => {
    const name = 'n'.repeat(length);
    const { path } = await serveMemory({ target: { name } });
    const client = await RawClient.open(path);
    await client.greet();
    expect(types(await client.option(6, infoData(name, [3])))).toEqual([3, 3, 1]);
    expect(types(await client.option(6, infoData(`${name}n`, [3])))).toEqual([ERROR + (length === 4096 ? 9 : 6)]);
    client.socket.write(optionBytes(1, Buffer.from(name)));
    expect((await client.take(10)).readBigUInt64BE(0)).toBe(1n << 20n);
    client.end();
  });

  test('reads no more of a storm of INFO than it has answered, and serves others meanwhile', async () => {
    const { path } = await serveMemory();
    const socket = connect(path);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    const one = optionBytes(6, infoData('disk', [1, 2, 3]));
    const count = 25_000;
    socket.write(Buffer.concat([u32(3), ...Array.from({ length: count }, () => one)]));
    for (let others = 0; others < 3; others++) {
      const client = await RawClient.open(path);
      await client.go('disk', 'structured');
      client.end();
    }
    expect(socket.writableLength).toBeGreaterThan(0);
    let received = 0;
    let answers = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (answers.length < 1000) answers = Buffer.concat([answers, chunk]);
    });
    await expect.poll(() => socket.writableLength).toBe(0);
    const each = answerLength(answers.subarray(18));
    await expect.poll(() => received).toBe(18 + count * each);
    socket.destroy();
  });

  test('gives the bitmaps of an export back once it is removed', async () => {
    let released = 0;
    const bitmap = {
      name: 'b0',
      extents: () => [{ length: 1 << 20, dirty: true }],
      release: () => {
        released++;
      },
    };
    const { server } = await serveMemory({ target: { bitmaps: [bitmap] } });
    expect(released).toBe(0);
    await server.removeExport('disk');
    expect(released).toBe(1);
    await server.stop();
    expect(released).toBe(1);
  });

  test('raises the form of replies once, and never lowers it', async () => {
    const { path } = await serveMemory();
    const client = await RawClient.open(path);
    await client.greet();
    expect(types(await client.option(8))).toEqual([1]);
    expect(types(await client.option(8))).toEqual([ERROR + 3]);
    expect(types(await client.option(11))).toEqual([1]);
    expect(types(await client.option(11))).toEqual([ERROR + 3]);
    expect(types(await client.option(8))).toEqual([ERROR + 10]);
    client.end();
  });

  test('lists and sets contexts by name, by wildcard, and only with structured replies', async () => {
    const bitmap = { name: 'b0', extents: () => [{ length: 1 << 20, dirty: true }] };
    const { path } = await serveMemory({ target: { allocationDepth: true, bitmaps: [bitmap] } });
    const client = await RawClient.open(path);
    await client.greet();
    const names = async (option: number, queries: readonly string[]) =>
      (await client.option(option, contextData('disk', queries)))
        .slice(0, -1)
        .map(({ data }) => data.subarray(4).toString());
    expect(await names(9, [])).toEqual(['base:allocation', 'qemu:allocation-depth', 'qemu:dirty-bitmap:b0']);
    expect(await names(9, ['qemu:'])).toEqual(['qemu:allocation-depth', 'qemu:dirty-bitmap:b0']);
    expect(await names(9, ['base:nothing', 'x-other:'])).toEqual([]);
    expect(types(await client.option(10, contextData('disk', ['base:allocation'])))).toEqual([ERROR + 3]);
    await client.option(8);
    expect(await names(10, ['qemu:dirty-bitmap:b0', 'base:'])).toEqual(['qemu:dirty-bitmap:b0']);
    expect(types(await client.option(10, contextData('none', ['base:allocation'])))).toEqual([ERROR + 6]);
    client.end();
  });

  test.each([
    ['a name past the option', 6, Buffer.concat([u32(100), Buffer.from('disk')]), ERROR + 3],
    ['a name that is too long', 6, infoData('x'.repeat(4097), []), ERROR + 9],
    ['a name with a NUL', 6, infoData('di\0sk', []), ERROR + 3],
    ['bytes left over', 6, Buffer.concat([infoData('disk', []), Buffer.alloc(2)]), ERROR + 3],
    ['queries past the option', 9, Buffer.concat([u32(4), Buffer.from('disk'), u32(5)]), ERROR + 3],
    ['too many queries', 9, Buffer.concat([u32(4), Buffer.from('disk'), u32(0xffffffff)]), ERROR + 9],
    ['too much data', 6, Buffer.alloc((1 << 20) + 1), ERROR + 9],
  ])('refuses %s and goes on', async (_, option, data, error) => {
    const { path } = await serveMemory();
    const client = await RawClient.open(path);
    await client.greet();
    expect(types(await client.option(option, data))).toEqual([error]);
    expect(types(await client.option(3))).toEqual([2, 1]);
    client.end();
  });

  test.each([
    ['unknown client flags', u32(5)],
    ['a wrong magic', Buffer.concat([u32(3), Buffer.alloc(16, 1)])],
    ['an option of 4 GiB', Buffer.concat([u32(3), Buffer.from('IHAVEOPT'), u32(6), u32(0xffffffff)])],
    ['an option from a client that knows EXPORT_NAME only', Buffer.concat([u32(0), optionBytes(3, Buffer.alloc(0))])],
    ['EXPORT_NAME for an export that does not exist', Buffer.concat([u32(3), optionBytes(1, Buffer.from('nothing'))])],
  ])('hangs up on %s', async (_, bytes) => {
    const { path, events } = await serveMemory();
    const client = await RawClient.open(path);
    await client.take(18);
    client.socket.write(bytes);
    await client.closed();
    await expect.poll(() => events.at(-1)?.type).toBe('disconnected');
    expect(events.at(-1)).toMatchObject({ served: false, error: expect.anything() });
  });

  test('answers EXPORT_NAME with zeroes unless the client does without', async () => {
    const { path } = await serveMemory();
    for (const [flags, length] of [
      [1, 134],
      [3, 10],
    ] as const) {
      const client = await RawClient.open(path);
      await client.greet(flags);
      client.socket.write(optionBytes(1, Buffer.from('disk')));
      const answer = await client.take(length);
      expect(answer.readBigUInt64BE(0)).toBe(1n << 20n);
      expect(answer.subarray(10).every((byte) => byte === 0)).toBe(true);
      client.socket.write(Buffer.concat([u32(0x25609513), Buffer.alloc(24)]).fill(3, 6, 8));
      client.end();
    }
  });

  test('takes everything byte by byte', async () => {
    const { path } = await serveMemory();
    const client = await RawClient.open(path);
    client.socket.setNoDelay(true);
    await client.take(18);
    for (const byte of Buffer.concat([u32(3), optionBytes(8, Buffer.alloc(0)), optionBytes(7, infoData('disk', []))])) {
      client.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.answer()).type).toBe(1);
    for (let answer = await client.answer(); answer.type !== 1; answer = await client.answer()) {
      expect(answer.type).toBe(3);
    }
    client.end();
  });

  test('cuts off who takes longer than the handshake limit', async () => {
    const { path, events } = await serveMemory({ server: { handshakeLimit: 50 } });
    const client = await RawClient.open(path);
    await client.closed();
    await expect.poll(() => events.at(-1)).toMatchObject({ type: 'disconnected', error: { code: 'ETIMEDOUT' } });
  });
});

describe('STARTTLS', () => {
  const none: ServerCredentials = { mode: 'required', upgrade: () => Promise.reject(new Error('no')) };

  test('is refused without credentials', async () => {
    const { path } = await serveMemory();
    const client = await RawClient.open(path);
    await client.greet();
    expect(types(await client.option(5))).toEqual([ERROR + 2]);
    client.end();
  });

  test('comes before everything but ABORT where it is required', async () => {
    const { path } = await serveMemory({ server: { credentials: none } });
    const client = await RawClient.open(path);
    await client.greet();
    for (const option of [3, 6, 7, 8, 9, 10, 11, 99]) expect(types(await client.option(option))).toEqual([ERROR + 5]);
    expect(types(await client.option(2))).toEqual([1]);
    const other = await RawClient.open(path);
    await other.greet();
    other.socket.write(optionBytes(1, Buffer.from('disk')));
    await other.closed();
  });

  test('begins anew: what was agreed on in plain text does not hold, and it comes once', async () => {
    const credentials: ServerCredentials = { mode: 'optional', upgrade: resumed };
    const { path } = await serveMemory({ server: { credentials } });
    const client = await RawClient.open(path);
    await client.greet();
    await client.option(8);
    expect(types(await client.option(10, contextData('disk', ['base:allocation'])))).toEqual([4, 1]);
    expect(types(await client.option(5))).toEqual([1]);
    expect(types(await client.option(5))).toEqual([ERROR + 3]);
    expect(types(await client.option(10, contextData('disk', ['base:allocation'])))).toEqual([ERROR + 3]);
    expect(types(await client.option(8))).toEqual([1]);
    expect(types(await client.option(7, infoData('disk', [])))).toEqual([3, 3, 1]);
    client.end();
  });

  test('drops a client that sends more along with it, which would be taken for what comes encrypted', async () => {
    const { path } = await serveMemory({ server: { credentials: { ...none, mode: 'optional' } } });
    const client = await RawClient.open(path);
    await client.greet();
    client.socket.write(Buffer.concat([optionBytes(5, Buffer.alloc(0)), optionBytes(3, Buffer.alloc(0))]));
    await client.closed();
    await expect(client.take(1)).rejects.toThrow('closed');
  });
});

/** Encryption that does nothing. */
function resumed(socket: Duplex): Promise<Duplex> {
  setImmediate(() => socket.resume());
  return Promise.resolve(socket);
}

/** Bytes of the answers to one option, of which the last is a plain yes. */
function answerLength(answers: Buffer): number {
  for (let at = 0; ; ) {
    const type = answers.readUInt32BE(at + 12);
    at += 20 + answers.readUInt32BE(at + 16);
    if (type === 1) return at;
  }
}
