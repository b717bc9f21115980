/** Servers that do not keep to the protocol: one clear line in bounded time, never wrong data. */
import { describe, expect, test } from 'vitest';
import { ExportFlag, Magic, Option, OptionReply } from '../../../src/core/nbd/index.ts';
import { imgHere } from '../../support/img-here.ts';
import {
  ALL_FLAGS,
  exportInfo,
  GREETING,
  optionReply,
  type Script,
  scriptedServer,
} from '../../support/scripted-nbd.ts';
import { openExport } from './support.ts';

const ack = (option: number) => optionReply(option, OptionReply.ACK);
const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);

/** Answer GO alone, with these bytes. */
const go = (...answers: Buffer[]): Script => ({
  option: (option) => (option === Option.GO ? Buffer.concat(answers) : undefined),
});
const sized = exportInfo(Option.GO, 1 << 20, ALL_FLAGS);
const blockSize = (minimum: number, preferred: number, maximum: number) =>
  optionReply(Option.GO, OptionReply.INFO, Buffer.concat([u16(3), u32(minimum), u32(preferred), u32(maximum)]));

const refusals: readonly (readonly [string, Script, RegExp])[] = [
  [
    'something else than NBD',
    { greeting: Buffer.from('220 mail.example.com ESMTP and more') },
    /this is no NBD server/,
  ],
  [
    'half a greeting',
    { greeting: GREETING.subarray(0, 10), option: () => null },
    /within the greeting|took too long|negotiation/,
  ],
  [
    'a greeting that goes on wrongly',
    { greeting: Buffer.concat([GREETING.subarray(0, 8), Buffer.alloc(10)]) },
    /greeting goes on/,
  ],
  ['no answer but the end', { option: () => null }, /the connection was closed before the answer to option 11/],
  [
    'an answer of 4 GiB',
    go(Buffer.concat([ack(Option.GO).subarray(0, 16), u32(0xffff_ffff)])),
    /4294967295 bytes, more than/,
  ],
  ['an answer with a wrong magic', go(Buffer.alloc(20)), /begins with 0x0/],
  ['an answer to another option', go(ack(Option.LIST)), /option 3 came where 7 was asked/],
  ['an answer of an unknown type', go(optionReply(Option.GO, 77)), /type 0x4d/],
  ['a plain yes with data', go(optionReply(Option.GO, OptionReply.ACK, Buffer.alloc(3))), /3 bytes of data/],
  ['no size', go(ack(Option.GO)), /no size was told/],
  ['two sizes', go(sized, sized, ack(Option.GO)), /told twice/],
  ['a size of 2^63', go(exportInfo(Option.GO, 1n << 63n, ALL_FLAGS), ack(Option.GO)), /9223372036854775808/],
  [
    'short information',
    go(optionReply(Option.GO, OptionReply.INFO, Buffer.alloc(1)), ack(Option.GO)),
    /1 bytes, fewer/,
  ],
  [
    'information without end',
    go(...Array.from({ length: 5000 }, () => optionReply(Option.GO, OptionReply.INFO, u16(999)))),
    /more than 256/,
  ],
  ['a minimum block size of 0', go(sized, blockSize(0, 4096, 1 << 20), ack(Option.GO)), /minimum block size 0/],
  ['a minimum block size of 3', go(sized, blockSize(3, 4096, 1 << 20), ack(Option.GO)), /minimum block size 3/],
  ['a minimum block size of 128 KiB', go(sized, blockSize(1 << 17, 1 << 17, 1 << 20), ack(Option.GO)), /131072/],
  [
    'a preferred block size below the minimum',
    go(sized, blockSize(4096, 512, 1 << 20), ack(Option.GO)),
    /preferred block size 512/,
  ],
  ['a maximum below the minimum', go(sized, blockSize(4096, 4096, 512), ack(Option.GO)), /maximum payload size 512/],
  [
    'a size that its blocks do not fill',
    go(exportInfo(Option.GO, 5000, ALL_FLAGS), blockSize(4096, 4096, 1 << 20), ack(Option.GO)),
    /5000 is not a multiple/,
  ],
  [
    'a context nobody asked for',
    {
      structured: true,
      option: (option) =>
        option === Option.SET_META_CONTEXT
          ? Buffer.concat([
              optionReply(option, OptionReply.META_CONTEXT, Buffer.concat([u32(1), Buffer.from('base:other')])),
              ack(option),
            ])
          : undefined,
    },
    /'base:other' came/,
  ],
  [
    'an error with a text for terminals',
    go(optionReply(Option.GO, OptionReply.ERR_UNKNOWN, Buffer.from('\u001b[31mgone\u0007\n'.repeat(500)))),
    /^img: Could not open '[^']+': NBD server '[^']+': export '' is not there \(the server says: [^\p{Cc}]{1,200}\)\n$/u,
  ],
];

describe('a negotiation with', () => {
  test.each(refusals)('%s', async (_name, script, message) => {
    const { length = 0 } = script.greeting ?? {};
    const server = await scriptedServer(length > 0 && length < 16 ? { ...script, cut: length } : script);
    const { code, stderr, stdout } = await imgHere(['info', server.uri]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});

test('a negotiation that is cut off at any byte', { timeout: 60_000 }, async () => {
  const uncut = await scriptedServer({ structured: true });
  await (await openExport(uncut.uri))[Symbol.asyncDispose]();
  for (let cut = 0; ; cut++) {
    const server = await scriptedServer({ structured: true, cut });
    const opening = openExport(server.uri);
    const outcome = await opening.then(
      () => undefined,
      (error: unknown) => String(error),
    );
    if (outcome === undefined) {
      await using opened = await opening;
      expect(cut).toBeGreaterThan(100);
      // The connection is lost for good, but what was agreed on is whole.
      expect(opened.disk.size).toBe(1 << 20);
      return;
    }
    expect(outcome).toMatch(/closed|ended/);
    expect(outcome).not.toContain('\n');
  }
});

test('a list of exports without end is cut off', async () => {
  const one = optionReply(Option.LIST, OptionReply.SERVER, Buffer.concat([u32(1), Buffer.from('x')]));
  const server = await scriptedServer({
    option: (option) => {
      if (option === Option.GO) return optionReply(option, OptionReply.ERR_UNSUP);
      return option === Option.LIST ? Buffer.concat(Array.from({ length: 100_001 }, () => one)) : undefined;
    },
  });
  const { code, stderr } = await imgHere(['info', `${server.uri.replace('///', '///name')}`]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/more than 100000 exports/);
});

describe('bytes that come one by one', () => {
  test.each([true, false])('structured %s', async (structured) => {
    const disk = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 11) & 255));
    const server = await scriptedServer({ dribble: true, structured, disk });
    await using opened = await openExport(server.uri);
    const buf = Buffer.alloc(4096);
    await opened.read(0, buf);
    expect(buf.equals(disk)).toBe(true);
    await opened.write(512, Buffer.alloc(512, 3));
    expect(disk.subarray(512, 1024).every((byte) => byte === 3)).toBe(true);
  });
});

describe('a connection that breaks in the middle', () => {
  const disk = Buffer.alloc(1 << 20, 5);
  const reply = (cookie: Buffer, data: Buffer) => Buffer.concat([u32(Magic.SIMPLE_REPLY), u32(0), cookie, data]);

  test.each([0, 1, 15, 16, 17, 4000])('after %d bytes of a reply', async (length) => {
    const server = await scriptedServer({
      disk,
      request: ({ cookie, offset }) => {
        if (offset > 0) return Buffer.alloc(0);
        setTimeout(() => server.drop(), 20);
        return reply(cookie, disk.subarray(0, 4096)).subarray(0, length);
      },
    });
    await using opened = await openExport(server.uri);
    const reads = [0, 4096, 8192].map((offset) => opened.read(offset, Buffer.alloc(4096)));
    for (const result of await Promise.allSettled(reads)) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { code: 'EIO', message: /is lost: the server closed/ },
      });
    }
    // It stays lost: what the server had not made stable may be gone.
    await expect(Promise.resolve(opened.read(0, Buffer.alloc(512)))).rejects.toMatchObject({ code: 'EIO' });
    expect(server.connections).toBe(1);
  });

  test('a desynchronised server fails all requests that wait', async () => {
    const server = await scriptedServer({
      disk,
      request: ({ offset }) => (offset === 8192 ? Buffer.alloc(100, 1) : Buffer.alloc(0)),
    });
    await using opened = await openExport(server.uri, { 'reconnect-delay': 5 });
    const reads = [0, 4096, 8192].map((offset) => opened.read(offset, Buffer.alloc(4096)));
    for (const result of await Promise.allSettled(reads)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'EIO', message: /breaks the NBD protocol/ } });
    }
  });

  test('an unsolicited reply right after the negotiation', async () => {
    const extra = reply(Buffer.alloc(8), disk.subarray(0, 100));
    const server = await scriptedServer(go(exportInfo(Option.GO, 1 << 20, ALL_FLAGS), ack(Option.GO), extra));
    const outcome = openExport(server.uri).then((opened) => opened.read(0, Buffer.alloc(512)));
    await expect(outcome).rejects.toMatchObject({ message: /nobody made/ });
  });
});

test('what a server does not offer is not asked of it', async () => {
  const flags = ExportFlag.HAS_FLAGS;
  const server = await scriptedServer({ flags });
  {
    await using opened = await openExport(server.uri);
    await opened.write(0, Buffer.alloc(512, 1));
    await opened.flush();
    await opened.discard(0, 512);
    await opened.zero(0, 1024);
  }
  const commands = server.log.filter((line) => line.startsWith('request')).map((line) => line.split(' ')[1]);
  expect(commands).toEqual(['1', '1', '2']);
});

test('an interrupt ends the wait for a server that says nothing', async () => {
  const server = await scriptedServer({ greeting: Buffer.alloc(0) });
  const interrupt = new AbortController();
  const running = imgHere(['info', server.uri], interrupt.signal);
  await expect.poll(() => server.connections).toBe(1);
  interrupt.abort();
  expect(await running).toMatchObject({ stdout: '', stderr: '' });
});
