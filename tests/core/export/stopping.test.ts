/** A server that is stopped while requests of its clients are held back on purpose, or their replies. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import type { Node } from '../../../src/core/block/graph/node.ts';
import { RawClient, requestBytes } from '../../support/nbd-raw-client.ts';
import { serveMemory } from '../../support/nbd-server.ts';
import { tempDir } from '../../support/temp.ts';
import { scene } from '../qmp/client.ts';

async function exported(limits: object) {
  const made = await scene();
  const { client, service } = made;
  const path = `${tempDir()}/nbd`;
  await client.run('blockdev-add', { driver: 'null-co', size: 1 << 20, 'node-name': 'n' });
  await client.run('blockdev-add', { driver: 'throttle', file: 'n', 'node-name': 't', 'iops-total': 1e9, ...limits });
  await client.run('nbd-server-start', { addr: { type: 'unix', data: { path } } });
  await client.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 't', name: 'e', writable: true });
  await client.run('blockdev-add', { driver: 'nbd', server: { type: 'unix', path }, export: 'e', 'node-name': 'far' });
  const far: Node = service.graph.find('far');
  const user = Backend.attach(service.graph, far, { user: 'a client', permissions: { perm: 3, shared: 15 } });
  return { made, client, user };
}

const ends = ['nbd-server-stop', 'block-export-del'] as const;
const args = { 'nbd-server-stop': undefined, 'block-export-del': { id: 'e', mode: 'hard' } };

type Exported = Awaited<ReturnType<typeof exported>>;

/** What limits hold back does not keep the export from ending. */
async function endsWhileWaiting({ made, client, user }: Exported, end: (typeof ends)[number]): Promise<void> {
  await user.write(0, Buffer.alloc(65536));
  const waiting = [4096, 8192].map((offset) => Promise.resolve(user.write(offset, Buffer.alloc(4096))));
  await client.run(end, args[end]);
  await client.event('BLOCK_EXPORT_DELETED');
  await Promise.allSettled(waiting);
  await user.close().catch(() => undefined);
  await Promise.resolve(made[Symbol.asyncDispose]()).catch(() => undefined);
}

test.each(ends)('by limits of a node: %s', async (end) => {
  const { made, client, user } = await exported({ 'bps-total': 1 });
  await endsWhileWaiting({ made, client, user }, end);
});

test.each(ends)('by limits of the export: %s', async (end) => {
  const { made, client, user } = await exported({});
  const none = { bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };
  await client.run('block_set_io_throttle', { id: 'e', bps: 1, ...none });
  await endsWhileWaiting({ made, client, user }, end);
});

test.each(ends)('since one failed, by the policy stop: %s', async (end) => {
  const bad = { driver: 'blkdebug', image: 'n', 'inject-error': [{ event: 'none', iotype: 'write', errno: 5 }] };
  const { made, client, user } = await exported({ file: bad });
  await client.run('x-blockyard-export-error-policy', { id: 'e', werror: 'stop' });
  const waiting = Promise.resolve(user.write(0, Buffer.alloc(4096)));
  waiting.catch(() => undefined);
  await client.event('BLOCK_IO_ERROR');
  await client.run(end, args[end]);
  await client.event('BLOCK_EXPORT_DELETED');
  await expect(waiting).rejects.toThrow();
  await user.close().catch(() => undefined);
  await Promise.resolve(made[Symbol.asyncDispose]()).catch(() => undefined);
});

test.each(['simple', 'structured', 'extended'] as const)('by a client that takes no replies, %s', async (form) => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const MiB = 1 << 20;
  const { path, server, disk } = await serveMemory({ memory: { size: 8 * MiB } });
  const client = await RawClient.open(path);
  await client.go('disk', form);
  client.socket.pause();
  // In one piece, with the zeroes that would otherwise be a hole.
  const read = requestBytes({ command: 0, length: 8 * MiB, flags: form === 'simple' ? 0 : 4 }, form === 'extended');
  for (let count = 0; count < 20; count++) client.socket.write(read);
  await expect.poll(() => disk.counts.read).toBeGreaterThan(0);
  let stopped = false;
  void server.stop().then(() => {
    stopped = true;
  });
  const aWhileLater = (): boolean => {
    vi.advanceTimersByTime(5000);
    return stopped;
  };
  await expect.poll(aWhileLater).toBe(true);
});
