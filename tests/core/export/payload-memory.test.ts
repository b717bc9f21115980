/** What the server has in memory for its clients is counted, bounded, and all given back. */
import { expect, test } from 'vitest';
import { nextTurn } from '../../../src/core/async/turn.ts';
import { payloads } from '../../../src/core/export/payload-memory.ts';
import { RawClient, requestBytes } from '../../support/nbd-raw-client.ts';
import { serveMemory } from '../../support/nbd-server.ts';

const MIB = 1 << 20;
const CLIENTS = 48;
/** See payload-memory.ts: the whole, and for each client what it may have at least beyond that. */
const BOUND = 16 * MIB + CLIENTS * (256 << 10);

test.each(['simple', 'structured', 'extended'] as const)('long requests of many clients, %s', async (form) => {
  let peak = 0;
  const on = async (): Promise<void> => {
    peak = Math.max(peak, payloads.lent);
    await nextTurn();
  };
  const { path, server } = await serveMemory({ memory: { size: 8 * MIB, on } });
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await RawClient.open(path);
      await client.go('disk', form);
      return client;
    }),
  );
  const extended = form === 'extended';
  const data = Buffer.alloc(2 * MIB, 0x5a);
  for (const { socket } of clients) {
    socket.pause();
    socket.write(requestBytes({ command: 1, offset: 4 * MIB, data, flags: extended ? 32 : 0 }, extended));
    socket.write(requestBytes({ command: 0, length: 4 * MIB, cookie: 2n }, extended));
  }
  await expect.poll(() => peak).toBeGreaterThan(MIB);
  // A third leaves in the middle of it all.
  for (const client of clients.slice(0, CLIENTS / 3)) client.end();
  for (const client of clients.slice(CLIENTS / 3)) {
    client.socket.resume();
    expect(await client.reply()).toMatchObject({ cookie: 1n, error: 0 });
    expect(await client.reply(4 * MIB)).toMatchObject({ cookie: 2n, error: 0 });
    client.end();
  }
  await expect.poll(() => server.connections).toBe(0);
  expect(peak).toBeLessThan(BOUND);
  expect(payloads.lent).toBe(0);
});
