/** Transactions whose backups end together: all of them, or none. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { tempDir } from '../../support/temp.ts';
import { openFiles } from '../block/graph/support.ts';
import { chain, check, content, MiB, reaches, userOf } from './chain.ts';
import { type Client, type Scene, scene } from './client.ts';

const grouped = { 'completion-mode': 'grouped' };

async function bitmapCount(client: Client, name: string): Promise<number | undefined> {
  const nodes =
    await client.run<{ 'node-name': string; 'dirty-bitmaps'?: { name: string; count: number }[] }[]>(
      'query-named-block-nodes',
    );
  const top = nodes.find((each) => each['node-name'] === 'top');
  return top?.['dirty-bitmaps']?.find((each) => each.name === name)?.count;
}

/** Two bitmaps of `top`, with its first and its third MiB dirty. */
async function dirtied(made: Scene): Promise<void> {
  for (const name of ['a', 'b']) await made.client.run('block-dirty-bitmap-add', { node: 'top', name });
  const user = userOf(made, 'top');
  await user.write(0, Buffer.alloc(MiB, 7));
  await user.close();
}

const backup = (id: string, dir: string, more: object = {}) => ({
  type: 'drive-backup',
  data: {
    ...{ 'job-id': id, device: 'top', target: path.join(dir, id), format: 'qcow2' },
    ...{ sync: 'incremental', bitmap: id, ...more },
  },
});

const targetsOpen = (dir: string): string[] =>
  openFiles(dir).filter((file) => ['a', 'b', 'c'].includes(path.basename(file)));

describe('grouped backups', () => {
  test('end together, by drive-backup in a transaction', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir } = await chain(made, tempDir());
    await dirtied(made);
    const actions = [backup('a', dir), backup('b', dir, { speed: 1 })];
    await client.run('transaction', { actions, properties: grouped });
    await reaches(client, 'a', 'waiting');
    expect(service.jobs.find('a').state).toBe('waiting');
    await client.run('block-job-set-speed', { device: 'b', speed: 0 });
    await reaches(client, 'b', 'null');
    await reaches(client, 'a', 'null');
    const told = client.messages.flatMap(({ event, data }) =>
      event === 'BLOCK_JOB_COMPLETED' ? [[data?.device, data?.error]] : [],
    );
    expect(told).toEqual([
      ['a', undefined],
      ['b', undefined],
    ]);
    expect([await bitmapCount(client, 'a'), await bitmapCount(client, 'b')]).toEqual([0, 0]);
    await service.graph.close();
    for (const name of ['a', 'b']) {
      expect(content(path.join(dir, name), [7, 0, 0, 0])).toBe('as expected');
      check(path.join(dir, name));
    }
  });

  test.each(['cancelled', 'failed'] as const)(
    'where one is %s the other is cancelled, and its bitmap as it was',
    async (how) => {
      await using made = await scene();
      const { client, service } = made;
      const { dir } = await chain(made, tempDir());
      await dirtied(made);
      const before = await bitmapCount(client, 'a');
      const actions = [backup('a', dir), backup('b', dir, { speed: 1 })];
      await client.run('transaction', { actions, properties: grouped });
      await reaches(client, 'a', 'waiting');
      if (how === 'cancelled') await client.run('job-cancel', { id: 'b' });
      else void service.jobs.find('b').fail(new BlockError('broken', { code: 'EIO' }));
      await reaches(client, 'a', 'null');
      await client.event('BLOCK_JOB_CANCELLED', (data) => data.device === 'a');
      await reaches(client, 'b', 'null');
      expect([await bitmapCount(client, 'a'), await bitmapCount(client, 'b')]).toEqual([before, before]);
      const nodes = await client.run<{ drv: string }[]>('query-named-block-nodes', { flat: true });
      expect(nodes.filter(({ drv }) => drv !== 'qcow2' && drv !== 'file')).toEqual([]);
    },
  );

  test('are made final by one job-finalize', async () => {
    await using made = await scene();
    const { client } = made;
    const { dir } = await chain(made, tempDir());
    await dirtied(made);
    const actions = [backup('a', dir, { 'auto-finalize': false }), backup('b', dir)];
    await client.run('transaction', { actions, properties: grouped });
    await reaches(client, 'a', 'pending');
    await reaches(client, 'b', 'pending');
    await client.run('job-finalize', { id: 'b' });
    await reaches(client, 'a', 'null');
    await reaches(client, 'b', 'null');
    expect([await bitmapCount(client, 'a'), await bitmapCount(client, 'b')]).toEqual([0, 0]);
  });

  test('are not begun when one cannot be', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir } = await chain(made, tempDir());
    await dirtied(made);
    const names = [...service.graph.nodes.keys()];
    const before = await bitmapCount(client, 'a');
    const bad = backup('c', dir, { bitmap: 'none' });
    expect(
      await client.refusal('transaction', { actions: [backup('a', dir), backup('b', dir), bad], properties: grouped }),
    ).toMatch(/no dirty bitmap 'none'/);
    // Who hears of it may use the files at once.
    expect(targetsOpen(dir)).toEqual([]);
    const add = { type: 'block-dirty-bitmap-add', data: { node: 'top', name: 'x' } };
    expect(await client.refusal('transaction', { actions: [backup('a', dir), add], properties: grouped })).toBe(
      "action 'block-dirty-bitmap-add' starts no job: completion-mode=grouped is for backups only",
    );
    expect(service.jobs.all()).toEqual([]);
    expect([...service.graph.nodes.keys()]).toEqual(names);
    expect(await bitmapCount(client, 'a')).toBe(before);
    // One by itself is as without a transaction.
    await client.run('transaction', { actions: [backup('a', dir)], properties: grouped });
    await client.event('BLOCK_JOB_COMPLETED');
    expect(targetsOpen(dir)).toEqual([]);
    await reaches(client, 'a', 'null');
  });
});
