/** A client that knows its export already, on one end of a pair of sockets: as the kernel is one. */
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { socketPair } from '../../../src/core/host/index.ts';
import { RawClient, requestBytes } from '../../support/nbd-raw-client.ts';
import { serveMemory } from '../../support/nbd-server.ts';

const READ = 0;
const WRITE = 1;
const LEAVE = 2;

async function attached(options: Parameters<typeof serveMemory>[0] = {}) {
  const served = await serveMemory(options);
  const [ours, theirs] = socketPair(1 << 20);
  const target = served.server.exports.get('disk');
  if (!target) throw new Error('there is no export');
  const ended = served.server.attach(target, new Socket({ fd: ours, allowHalfOpen: true }), 512);
  return { ...served, ended, client: RawClient.on(new Socket({ fd: theirs })) };
}

test.skipIf(process.platform !== 'linux')('is served without negotiation, in whole blocks', async () => {
  const { client, disk, ended, events } = await attached();
  const data = Buffer.alloc(4096, 7);
  client.socket.write(requestBytes({ command: WRITE, offset: 8192, data, cookie: 1n }));
  expect(await client.reply()).toMatchObject({ cookie: 1n, error: 0 });
  expect(disk.data.subarray(8192, 12_288).equals(data)).toBe(true);
  client.socket.write(requestBytes({ command: READ, offset: 8192, length: 4096, cookie: 2n }));
  expect((await client.reply(4096)).chunks[0]?.payload.equals(data)).toBe(true);
  client.socket.write(requestBytes({ command: READ, offset: 100, length: 512, cookie: 3n }));
  expect(await client.reply()).toMatchObject({ cookie: 3n, error: 22 });
  client.socket.write(requestBytes({ command: LEAVE }));
  await ended;
  await client.closed();
  expect(events.map(({ type }) => type)).toEqual(['connected', 'serving', 'disconnected']);
});

test.skipIf(process.platform !== 'linux')('may ask for more than the image takes at a time', async () => {
  const { client, disk, ended } = await attached({ memory: { limits: { maxTransfer: 65_536 } } });
  const data = Buffer.alloc(1 << 20, 9);
  client.socket.write(requestBytes({ command: WRITE, data, cookie: 1n }));
  expect(await client.reply()).toMatchObject({ cookie: 1n, error: 0 });
  client.socket.write(requestBytes({ command: READ, length: data.length, cookie: 2n }));
  expect((await client.reply(data.length)).chunks[0]?.payload.equals(data)).toBe(true);
  expect(disk.faults).toEqual([]);
  client.socket.destroy();
  await ended;
});

test.skipIf(process.platform !== 'linux')('does not wait in line, and others do behind it', async () => {
  const { client, path, ended, server } = await attached({ server: { shared: 1 } });
  const other = await RawClient.open(path);
  client.socket.write(requestBytes({ command: READ, length: 512 }));
  expect(await client.reply(512)).toMatchObject({ error: 0 });
  expect(server.connections).toBe(1);
  client.socket.destroy();
  await ended;
  await other.go('disk', 'simple');
  other.end();
});
