/**
 * Clients that send nonsense: random and mutated options and requests, cut off anywhere. The server answers or hangs
 * up; it never stops serving others.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { checkAnswers } from '../support/nbd-answers.ts';
import { startNbd } from '../support/nbd-program.ts';
import { contextData, infoData, optionBytes, RawClient, requestBytes, u16, u32 } from '../support/nbd-raw-client.ts';
import { serveMemory } from '../support/nbd-server.ts';
import { Random, seeds } from '../support/random.ts';

const CASES = 150;

describe.each(seeds(10))('streams of seed %i', (seed) => {
  test('cost nobody but who sends them', async () => {
    const random = new Random(seed);
    const { path, disk, events, server } = await serveMemory({ memory: { limits: { requestAlignment: 512 } } });
    for (let index = 0; index < CASES; index++) {
      await sendAndLeave(path, stream(random), random.chance(0.3) ? 1 : random.between(1, 4000));
      if (index % 10 === 0) await expectServed(path);
    }
    await expectServed(path);
    await expect.poll(() => server.connections).toBe(0);
    expect(disk.faults).toEqual([]);
    const wrong = events.filter((event) => event.type === 'disconnected' && event.error?.message.includes('undefined'));
    expect(wrong).toEqual([]);
  });
});

test.each(seeds(10))('messages of seed %i are answered as the text has it', async (seed) => {
  const random = new Random(seed);
  const { path } = await serveMemory();
  let answered = 0;
  for (let index = 0; index < 30; index++) {
    const { bytes, commands } = randomMessages(random);
    const { options, requests } = checkAnswers(await conversationOf(path, bytes), commands);
    expect(options).toBeGreaterThan(0);
    // Each has a number of its own, and is answered once, or not at all once the server has hung up.
    expect(new Set(requests).size).toBe(requests.length);
    answered += requests.length;
  }
  expect(answered).toBeGreaterThan(0);
});

test.each([
  ['structured', false],
  ['extended', true],
])('a conversation cut off at each of its bytes, %s', async (_form, extended) => {
  const { path, server } = await serveMemory();
  const whole = conversation(extended);
  for (let length = 0; length <= whole.length; length++) await sendAndLeave(path, whole.subarray(0, length), 4000);
  await expectServed(path);
  await expect.poll(() => server.connections).toBe(0);
});

test.each(['structured', 'extended'] as const)('status of 4 GiB - 1 and more, %s', async (form) => {
  const options = 'driver=null-co,size=8G,read-zeroes=on';
  const { socket } = await startNbd(['-t', '-r', '--image-opts', options]);
  const client = await RawClient.open(socket);
  await client.go('', form, ['base:allocation']);
  const extended = form === 'extended';
  for (const [offset, length, error] of [
    [0, 2 ** 32 - 1, 0],
    [2 ** 32 + 1, 2 ** 32 - 1, 0],
    [2 ** 32 + 2, 2 ** 32 - 1, 22],
    ...(extended ? ([[0, 2 ** 33, 0]] as const) : []),
  ] as const) {
    client.socket.write(requestBytes({ command: 7, offset, length }, extended));
    expect((await client.reply()).error).toBe(error);
  }
  client.end();
});

/** All kinds of options, then all kinds of requests. */
function conversation(extended: boolean): Buffer {
  const flags = extended ? 32 : 0;
  return Buffer.concat([
    u32(3),
    optionBytes(3, Buffer.alloc(0)),
    optionBytes(extended ? 11 : 8, Buffer.alloc(0)),
    optionBytes(9, contextData('disk', [])),
    optionBytes(10, contextData('disk', ['base:allocation'])),
    optionBytes(6, infoData('disk', [3])),
    optionBytes(7, infoData('disk', [3, 1])),
    requestBytes({ command: 0, length: 4096 }, extended),
    requestBytes({ command: 1, offset: 4096, data: Buffer.alloc(512, 1), flags }, extended),
    requestBytes({ command: 7, length: 65_536 }, extended),
    requestBytes({ command: 6, offset: 8192, length: 4096 }, extended),
    requestBytes({ command: 4, offset: 8192, length: 4096 }, extended),
    requestBytes({ command: 3 }, extended),
    requestBytes({ command: 2 }, extended),
  ]);
}

function stream(random: Random): Buffer {
  const kind = random.below(3);
  const bytes = kind === 0 ? randomMessages(random).bytes : Buffer.from(conversation(random.chance(0.5)));
  if (kind === 1) {
    for (let changes = random.between(1, 6); changes > 0; changes--)
      bytes[random.below(bytes.length)] = random.below(256);
  }
  return bytes.subarray(0, random.chance(0.5) ? bytes.length : random.below(bytes.length + 1));
}

interface Messages {
  readonly bytes: Buffer;
  /** By the cookies of the requests. */
  readonly commands: ReadonlyMap<number, number>;
}

/** Options and requests whose fields are random, but whose frames are right, so that they get far. */
function randomMessages(random: Random): Messages {
  const extended = random.chance(0.5);
  const parts = [u32(3), optionBytes(extended ? 11 : 8, Buffer.alloc(0))];
  for (let count = random.below(6); count > 0; count--) {
    const bodies = [
      random.bytes(random.below(64)),
      infoData(
        'disk',
        Array.from({ length: random.below(9) }, () => random.below(6)),
      ),
      contextData(random.pick(['disk', '', 'x']), ['base:allocation', 'qemu:', random.bytes(5).toString('latin1')]),
      Buffer.concat([u32(random.word()), random.bytes(20), u16(random.below(65_536))]),
    ];
    parts.push(optionBytes(random.below(14), random.pick(bodies)));
  }
  parts.push(optionBytes(7, infoData('disk', random.chance(0.5) ? [3] : [])));
  const commands = new Map<number, number>();
  for (let count = random.below(20); count > 0; count--) {
    const data = random.chance(0.3) ? random.bytes(random.below(2000)) : undefined;
    const offset = 512 + random.magnitude(2 ** 40);
    const length = data?.length ?? random.magnitude(2 ** 31);
    const command = random.below(10);
    commands.set(count, command);
    const fields = { command, flags: random.below(64), cookie: BigInt(count), offset, length };
    parts.push(requestBytes(data ? { ...fields, data } : fields, extended));
  }
  return { bytes: Buffer.concat(parts), commands };
}

/** Send `bytes` in pieces, wait for what comes back a moment, and leave without a word. */
async function sendAndLeave(path: string, bytes: Buffer, piece: number): Promise<void> {
  const socket = connect(path);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.resume();
  const step = Math.max(piece, Math.ceil(bytes.length / 40));
  for (let at = 0; at < bytes.length && !socket.destroyed; at += step) {
    socket.write(bytes.subarray(at, at + step));
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.destroy();
}

/** All that the server says to `bytes`, until it has hung up. */
async function conversationOf(path: string, bytes: Buffer): Promise<Buffer> {
  const socket = connect(path);
  const said: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => said.push(chunk));
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  socket.end(bytes);
  await closed;
  return Buffer.concat(said);
}

/** The next client finds everything in order. */
async function expectServed(path: string): Promise<void> {
  const client = await RawClient.open(path);
  await client.go('disk', 'structured', ['base:allocation']);
  client.socket.write(requestBytes({ command: 0, length: 512, cookie: 77n }));
  const reply = await client.reply();
  expect(reply).toMatchObject({ cookie: 77n, error: 0 });
  client.socket.write(requestBytes({ command: 2 }));
  await client.closed();
}
