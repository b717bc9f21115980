/** The transmission phase in its three forms, spoken by hand. */
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { RawClient, type Reply, requestBytes, u32, u64 } from '../../support/nbd-raw-client.ts';
import { type ServedOptions, serveMemory } from '../../support/nbd-server.ts';

const MiB = 1 << 20;
const FORMS = ['simple', 'structured', 'extended'] as const;
const READ = 0;
const WRITE = 1;
const FLUSH = 3;
const TRIM = 4;
const CACHE = 5;
const ZEROES = 6;
const STATUS = 7;
const PAYLOAD_LEN = 32;

async function connected(form: (typeof FORMS)[number], options: ServedOptions = {}, contexts: readonly string[] = []) {
  const served = await serveMemory(options);
  const client = await RawClient.open(served.path);
  await client.go('disk', form, contexts);
  const extended = form === 'extended';
  const send = (fields: Parameters<typeof requestBytes>[0]): void => {
    client.socket.write(requestBytes(fields, extended));
  };
  const ask = (fields: Parameters<typeof requestBytes>[0], dataLength?: number): Promise<Reply> => {
    send(fields);
    return client.reply(dataLength);
  };
  const write = (offset: number, data: Buffer, flags = 0): Promise<Reply> =>
    ask({ command: WRITE, offset, data, flags: extended ? flags | PAYLOAD_LEN : flags });
  return { ...served, client, send, ask, write, extended };
}

/** Content that a read reply stands for, holes filled in. */
function content(reply: Reply, offset: number, length: number): Buffer {
  const result = Buffer.alloc(length, 0xee);
  for (const { type, payload } of reply.chunks) {
    if (type === -1) payload.copy(result);
    if (type === 1) payload.copy(result, Number(payload.readBigUInt64BE(0)) - offset, 8);
    if (type === 2) {
      const at = Number(payload.readBigUInt64BE(0)) - offset;
      result.fill(0, at, at + payload.readUInt32BE(8));
    }
  }
  return result;
}

describe.each(FORMS)('transmission, %s', (form) => {
  test('writes and reads short and long pieces', async () => {
    const { client, ask, write, disk } = await connected(form, { memory: { size: 8 * MiB } });
    for (const [offset, length] of [
      [5, 1],
      [512, 4096],
      [100_000, 70_000],
      [MiB + 3, 3 * MiB],
    ] as const) {
      const data = Buffer.alloc(length, length % 251);
      expect(await write(offset, data)).toMatchObject({ error: 0, cookie: 1n });
      expect(disk.data.subarray(offset, offset + length).equals(data)).toBe(true);
      const reply = await ask({ command: READ, offset, length, cookie: 0xfedcba9876543210n }, length);
      expect(reply).toMatchObject({ error: 0, cookie: 0xfedcba9876543210n });
      expect(content(reply, offset, length).equals(data)).toBe(true);
    }
    client.end();
  });

  test('takes a request byte by byte, and many in one piece', async () => {
    const { client, write, send, extended } = await connected(form);
    const data = Buffer.from('0123456789');
    const bytes = requestBytes({ command: WRITE, offset: 7, data, flags: extended ? PAYLOAD_LEN : 0 }, extended);
    for (const byte of bytes) {
      client.socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.reply()).error).toBe(0);
    client.socket.write(Buffer.concat(Array.from({ length: 200 }, () => bytes)));
    for (let index = 0; index < 200; index++) expect((await client.reply()).error).toBe(0);
    send({ command: READ, offset: 7, length: 10 });
    expect(content(await client.reply(10), 7, 10).toString()).toBe('0123456789');
    expect((await write(0, Buffer.alloc(0))).error).toBe(0);
    client.end();
  });

  test('takes two requests split at every boundary', async () => {
    const { client, extended } = await connected(form);
    const one = { command: WRITE, offset: 0, data: Buffer.alloc(20, 1), flags: extended ? PAYLOAD_LEN : 0 };
    const bytes = Buffer.concat([requestBytes(one, extended), requestBytes({ command: READ, length: 20 }, extended)]);
    for (let split = 1; split < bytes.length; split++) {
      client.socket.write(bytes.subarray(0, split));
      await new Promise((resolve) => setImmediate(resolve));
      client.socket.write(bytes.subarray(split));
      expect((await client.reply()).error).toBe(0);
      expect(content(await client.reply(20), 0, 20).equals(one.data)).toBe(true);
    }
    client.end();
  });

  test('refuses what the text says is to be refused, and goes on', async () => {
    const { client, ask, write } = await connected(form);
    expect((await ask({ command: READ, offset: MiB - 1, length: 2 })).error).toBe(22);
    expect((await write(MiB - 1, Buffer.alloc(2))).error).toBe(28);
    expect((await ask({ command: ZEROES, offset: MiB, length: 1 })).error).toBe(28);
    expect((await ask({ command: TRIM, offset: MiB, length: 1 })).error).toBe(22);
    expect((await ask({ command: READ, offset: 2n ** 64n - 1n, length: 1 })).error).toBe(22);
    expect((await ask({ command: READ, length: 1, flags: 1 << 9 })).error).toBe(22);
    expect((await ask({ command: 99, length: 1 })).error).toBe(22);
    expect((await ask({ command: STATUS, length: 1 })).error).toBe(22);
    expect((await ask({ command: READ, length: 1 }, 1)).error).toBe(0);
    client.end();
  });

  test('flushes for FLUSH and FUA, and says so after', async () => {
    const { client, ask, write, disk } = await connected(form);
    await write(0, Buffer.alloc(512, 1), 1);
    expect(disk.stable[0]).toBe(1);
    await write(512, Buffer.alloc(512, 2));
    expect((await ask({ command: FLUSH })).error).toBe(0);
    expect(disk.stable[512]).toBe(2);
    expect((await ask({ command: ZEROES, length: 512, flags: 1 })).error).toBe(0);
    expect(disk.stable[0]).toBe(0);
    expect((await ask({ command: CACHE, length: MiB })).error).toBe(0);
    client.end();
  });

  test('a read with FUA is of what is stable', async () => {
    const { ask, write, disk } = await connected(form);
    await write(0, Buffer.alloc(512, 9));
    expect(disk.stable[0]).toBe(0);
    expect(await ask({ command: READ, flags: 1, length: 512 }, 512)).toMatchObject({ error: 0 });
    expect(disk.stable[0]).toBe(9);
  });

  test("answers a read-only export's writers with EPERM, the data passed over", async () => {
    const { client, ask, write } = await connected(form, { target: { readOnly: true } });
    expect((await write(0, Buffer.alloc(2000, 1))).error).toBe(1);
    expect((await ask({ command: TRIM, length: 512 })).error).toBe(1);
    expect((await ask({ command: ZEROES, length: 512 })).error).toBe(1);
    expect((await ask({ command: READ, length: 1 }, 1)).error).toBe(0);
    client.end();
  });

  test('tells of a failing disk, whether at once or later, and goes on', async () => {
    let later = false;
    const on = (operation: string) => {
      if (operation !== 'read') return;
      const error = new BlockError('the medium is worn out', { code: 'EIO' });
      if (!later) throw error;
      return new Promise<void>((_, reject) => setImmediate(() => reject(error)));
    };
    const { client, ask, events } = await connected(form, { memory: { on, has: ['zero'] } });
    for (later of [false, true]) {
      for (const length of [512, 100_000, 700_000])
        expect((await ask({ command: READ, length }, length)).error).toBe(5);
    }
    expect(events.filter(({ type }) => type === 'request-failed')).toHaveLength(6);
    expect((await ask({ command: FLUSH })).error).toBe(0);
    client.end();
  });

  test('fast zeroing fails with ENOTSUP where it would have to write, plain zeroing does not', async () => {
    const { client, ask, disk, write } = await connected(form, { memory: { declinesZero: 'at once' } });
    await write(0, Buffer.alloc(512, 1));
    expect((await ask({ command: ZEROES, length: 512, flags: 16 })).error).toBe(95);
    expect(disk.data[0]).toBe(1);
    expect((await ask({ command: ZEROES, length: 512 })).error).toBe(0);
    expect(disk.data[0]).toBe(0);
    client.end();
  });

  test('answers what waits when it is done, and other requests meanwhile', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const on = (operation: string, offset: number) => (operation === 'read' && offset === 0 ? held : undefined);
    const { client, send } = await connected(form, { memory: { on } });
    send({ command: READ, length: 512, cookie: 1n });
    send({ command: READ, offset: 512, length: 512, cookie: 2n });
    expect((await client.reply(512)).cookie).toBe(2n);
    release();
    expect((await client.reply(512)).cookie).toBe(1n);
    client.end();
  });
});

describe('structured replies', () => {
  test.each(['structured', 'extended'] as const)('send holes as holes unless in one piece, %s', async (form) => {
    const { client, ask, write } = await connected(form);
    await write(65_536, Buffer.alloc(65_536, 3));
    const split = await ask({ command: READ, length: 4 * 65_536 });
    expect(split.chunks.map(({ type }) => type)).toEqual([2, 1, 2]);
    const whole = await ask({ command: READ, length: 4 * 65_536, flags: 4 });
    expect(whole.chunks.filter(({ type }) => type !== 0).map(({ type }) => type)).toEqual([1]);
    expect(content(split, 0, 4 * 65_536).equals(content(whole, 0, 4 * 65_536))).toBe(true);
    client.end();
  });

  test.each(['at once', 'later'] as const)('send data that lies here and there in one chunk, told %s', async (when) => {
    const { client, ask, write, disk } = await connected('structured');
    await write(0, Buffer.alloc(5 * 65_536, 7));
    // As an image tells of clusters that do not follow each other: data up to the next one, zeroes behind the fifth.
    const status = (offset: number, length: number) => {
      const data = offset < 5 * 65_536;
      const run = data ? 65_536 - (offset % 65_536) : length;
      const extent = { length: Math.min(length, run), allocated: true, data, zero: !data };
      return when === 'later' && offset === 2 * 65_536 ? Promise.resolve(extent) : extent;
    };
    Object.assign(disk.image, { status });
    const reply = await ask({ command: READ, length: 7 * 65_536 });
    const chunks = reply.chunks.map(({ type, payload }) => [type, type === 1 ? payload.length - 8 : 0]);
    const parts = when === 'later' ? [2, 3] : [5];
    expect(chunks).toEqual([...parts.map((clusters) => [1, clusters * 65_536]), [2, 0]]);
    expect(
      content(reply, 0, 7 * 65_536).equals(Buffer.concat([Buffer.alloc(5 * 65_536, 7), Buffer.alloc(2 * 65_536)])),
    ).toBe(true);
    client.end();
  });

  test('a long read in one piece that fails midway is filled up and ends in an error', async () => {
    const on = (operation: string, offset: number) => {
      if (operation === 'read' && offset >= 600_000) throw new BlockError('worn out', { code: 'EIO' });
    };
    const { client, ask } = await connected('structured', { memory: { on, size: 2 * MiB } });
    const { chunks, error } = await ask({ command: READ, length: 1_500_000, flags: 4 });
    expect(error).toBe(5);
    expect(chunks.map(({ type, payload }) => [type, payload.length > 1_000_000])).toEqual([
      [1, true],
      [0x8001, false],
    ]);
    client.end();
  });

  test('block status tells allocation, depth and bitmaps, in runs', async () => {
    const extents = () => [
      { length: 4096, dirty: true },
      { length: 4096, dirty: true },
      { length: MiB, dirty: false },
    ];
    const target = { allocationDepth: true, bitmaps: [{ name: 'b', extents }] };
    const contexts = ['base:allocation', 'qemu:allocation-depth', 'qemu:dirty-bitmap:b'];
    for (const form of ['structured', 'extended'] as const) {
      const { client, ask, write } = await connected(form, { target }, contexts);
      await write(0, Buffer.alloc(65_536, 3));
      const { chunks } = await ask({ command: STATUS, length: MiB });
      expect(chunks.map(({ payload }) => statusOf(payload, form))).toEqual([
        {
          id: 0,
          extents: [
            [65_536, 0],
            [MiB - 65_536, 3],
          ],
        },
        { id: 1, extents: [[MiB, 1]] },
        {
          id: 2,
          extents: [
            [8192, 1],
            [MiB - 8192, 0],
          ],
        },
      ]);
      const one = await ask({ command: STATUS, length: MiB, flags: 8 });
      expect(one.chunks.map(({ payload }) => statusOf(payload, form).extents)).toEqual([
        [[65_536, 0]],
        [[MiB, 1]],
        [[8192, 1]],
      ]);
      client.end();
    }
  });

  test('a payload chooses among the contexts', async () => {
    const contexts = ['base:allocation', 'qemu:allocation-depth'];
    const { client, ask } = await connected('extended', { target: { allocationDepth: true } }, contexts);
    const query = (data: Buffer) => ask({ command: STATUS, flags: PAYLOAD_LEN, data });
    expect(
      (await query(Buffer.concat([u64(MiB), u32(1)]))).chunks.map(({ payload }) => payload.readUInt32BE(0)),
    ).toEqual([1]);
    for (const ids of [[7], [1, 1], []])
      expect((await query(Buffer.concat([u64(MiB), ...ids.map(u32)]))).error).toBe(22);
    expect((await query(Buffer.concat([u64(2 * MiB), u32(1)]))).error).toBe(22);
    expect((await ask({ command: FLUSH, flags: PAYLOAD_LEN, data: Buffer.alloc(100) })).error).toBe(22);
    expect((await ask({ command: FLUSH })).error).toBe(0);
    client.end();
  });
});

describe('limits', () => {
  test('block sizes are told and enforced for who asked', async () => {
    const { client, ask } = await connected('structured', { memory: { limits: { requestAlignment: 4096 } } });
    expect((await ask({ command: READ, offset: 512, length: 4096 })).error).toBe(22);
    expect((await ask({ command: READ, offset: 4096, length: 512 })).error).toBe(22);
    expect((await ask({ command: READ, offset: 4096, length: 4096 })).error).toBe(0);
    client.end();
  });

  test('a request that is too long is refused, with its data passed over', async () => {
    const { client, ask, write } = await connected('simple', { memory: { size: 64 * MiB } });
    expect((await ask({ command: READ, length: 33 * MiB })).error).toBe(22);
    expect((await write(0, Buffer.alloc(33 * MiB))).error).toBe(22);
    expect((await ask({ command: READ, length: 1 }, 1)).error).toBe(0);
    client.end();
  });

  test('a client that does not take its replies is not read from any more, and others are served', async () => {
    const { client, send, path, disk } = await connected('simple', { memory: { size: 8 * MiB } });
    client.socket.pause();
    for (let index = 0; index < 500; index++) send({ command: READ, length: 4 * MiB });
    const other = await RawClient.open(path);
    await other.go('disk', 'simple');
    for (let index = 0; index < 50; index++) {
      other.socket.write(requestBytes({ command: READ, length: 512 }));
      expect((await other.reply(512)).error).toBe(0);
    }
    // 500 × 4 MiB would be 4000 reads of a piece; what was read is what its share of memory and the socket hold.
    expect(disk.counts.read).toBeLessThan(200);
    other.end();
    client.end();
  });

  test('stopping finishes what is under way and flushes', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const on = (operation: string) => (operation === 'write' ? held : undefined);
    const { client, send, server, disk } = await connected('simple', { memory: { on } });
    send({ command: WRITE, data: Buffer.alloc(512, 9) });
    await expect.poll(() => disk.counts.write).toBe(1);
    const stopped = server.stop();
    release();
    expect((await client.reply()).error).toBe(0);
    await stopped;
    await client.closed();
    expect(disk.stable[0]).toBe(9);
  });
});

function statusOf(payload: Buffer, form: string): { id: number; extents: number[][] } {
  const extents: number[][] = [];
  if (form === 'extended') {
    for (let at = 8; at < payload.length; at += 16) {
      extents.push([Number(payload.readBigUInt64BE(at)), Number(payload.readBigUInt64BE(at + 8))]);
    }
    expect(payload.readUInt32BE(4)).toBe(extents.length);
  } else {
    for (let at = 4; at < payload.length; at += 8)
      extents.push([payload.readUInt32BE(at), payload.readUInt32BE(at + 4)]);
  }
  return { id: payload.readUInt32BE(0), extents };
}
