import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tempDir } from '../../support/temp.ts';
import { backingOf, chain, check, content, ends, MiB, userOf } from './chain.ts';
import { type Client, type Scene, scene } from './client.ts';

interface Bitmap {
  readonly name: string;
  readonly count: number;
  readonly recording: boolean;
  readonly persistent: boolean;
}

async function bitmaps(client: Client, node = 'top'): Promise<readonly Bitmap[]> {
  const nodes = await client.run<{ 'node-name': string; 'dirty-bitmaps'?: Bitmap[] }[]>('query-named-block-nodes');
  return nodes.find((each) => each['node-name'] === node)?.['dirty-bitmaps'] ?? [];
}

const act = (type: string, data: object = {}) => ({ type, data });
const transaction = (client: Client, ...actions: object[]) => client.run('transaction', { actions });
const refused = (client: Client, ...actions: object[]) => client.refusal('transaction', { actions });

async function dirty(made: Scene, offset: number): Promise<void> {
  const user = userOf(made, 'top');
  await user.write(offset, Buffer.alloc(65536, 5));
  await user.close();
}

describe('bitmaps', () => {
  test('are made, changed, merged, hashed and removed by commands', async () => {
    await using made = await scene();
    const { client } = made;
    await chain(made, tempDir());
    const b = { node: 'top', name: 'b' };
    await client.run('block-dirty-bitmap-add', { ...b, granularity: 65536 });
    await client.run('block-dirty-bitmap-add', { node: 'top', name: 'c', granularity: 65536, disabled: true });
    await client.run('block-dirty-bitmap-add', { node: 'top', name: 'd', granularity: 65536, persistent: true });
    const empty = await client.run('x-debug-block-dirty-bitmap-sha256', b);
    await dirty(made, MiB);
    expect((await bitmaps(client)).map(({ name, count, recording }) => [name, count, recording])).toEqual([
      ['b', 65536, true],
      ['c', 0, false],
      ['d', 65536, true],
    ]);
    expect(await client.run('x-debug-block-dirty-bitmap-sha256', b)).not.toEqual(empty);
    await client.run('block-dirty-bitmap-merge', {
      node: 'top',
      target: 'c',
      bitmaps: ['b', { node: 'top', name: 'd' }],
    });
    expect(await client.run('x-debug-block-dirty-bitmap-sha256', { node: 'top', name: 'c' })).toEqual(
      await client.run('x-debug-block-dirty-bitmap-sha256', b),
    );
    await client.run('block-dirty-bitmap-clear', b);
    expect(await client.run('x-debug-block-dirty-bitmap-sha256', b)).toEqual(empty);
    await client.run('block-dirty-bitmap-disable', b);
    await dirty(made, 0);
    expect((await bitmaps(client))[0]).toMatchObject({ name: 'b', count: 0, recording: false });
    await client.run('block-dirty-bitmap-enable', b);
    await client.run('block-dirty-bitmap-remove', b);
    expect((await bitmaps(client)).map(({ name }) => name)).toEqual(['c', 'd']);
  });

  test('of nobody, twice, or with a bad granularity are refused', async () => {
    await using made = await scene();
    const { client } = made;
    await chain(made, tempDir());
    const b = { node: 'top', name: 'b' };
    await client.run('block-dirty-bitmap-add', b);
    expect(await client.refusal('block-dirty-bitmap-add', b)).toMatch(/already/);
    for (const granularity of [1000, 256, 2 ** 32]) {
      expect(await client.refusal('block-dirty-bitmap-add', { ...b, name: 'x', granularity })).toMatch(/granularity/);
    }
    expect(await client.refusal('block-dirty-bitmap-add', { ...b, node: 'none' })).toMatch(/no node named/);
    for (const verb of ['remove', 'clear', 'enable', 'disable']) {
      expect(await client.refusal(`block-dirty-bitmap-${verb}`, { ...b, name: 'x' })).toMatch(/'x'/);
    }
    expect(await client.refusal('x-debug-block-dirty-bitmap-sha256', { ...b, name: 'x' })).toMatch(/'x'/);
    const merge = { node: 'top', target: 'b', bitmaps: ['x'] };
    expect(await client.refusal('block-dirty-bitmap-merge', merge)).toMatch(/'x'/);
    expect(
      await client.refusal('block-dirty-bitmap-merge', { ...merge, bitmaps: [{ node: 'none', name: 'x' }] }),
    ).toMatch(/no node/);
    await client.run('block-dirty-bitmap-add', { ...b, name: 'p', persistent: true });
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'n', size: MiB });
    expect(await client.refusal('block-dirty-bitmap-add', { node: 'n', name: 'p', persistent: true })).toMatch(
      /cannot keep bitmaps/,
    );
  });

  test('are saved when a node is made read-only, and are there when it is not any more', async () => {
    await using made = await scene();
    const { client } = made;
    const { files } = await chain(made, tempDir());
    const top = { driver: 'qcow2', 'node-name': 'top', backing: 'mid' };
    const file = { driver: 'file', filename: files[2] };
    await client.run('block-dirty-bitmap-add', { node: 'top', name: 'p', persistent: true, granularity: 65536 });
    await dirty(made, 0);
    await client.run('blockdev-reopen', { options: [{ ...top, file, 'read-only': true }] });
    const info = execFileSync('qemu-img', ['info', '-U', '--output=json', files[2] ?? ''], { encoding: 'utf8' });
    const said = JSON.parse(info) as { 'format-specific': { data: { bitmaps: object[] } } };
    // Not in use: what is in the image is the whole of it.
    expect(said['format-specific'].data.bitmaps).toEqual([{ name: 'p', granularity: 65536, flags: ['auto'] }]);
    expect(await client.refusal('block-dirty-bitmap-clear', { node: 'top', name: 'p' })).toMatch(/read-?only/i);
    await client.run('blockdev-reopen', { options: [{ ...top, file, 'read-only': false }] });
    await dirty(made, MiB);
    expect(await bitmaps(client)).toMatchObject([{ name: 'p', count: 131072, recording: true }]);
  });
});

describe('snapshots', () => {
  test('blockdev-snapshot-sync and change-backing-file', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir, files } = await chain(made, tempDir());
    const user = userOf(made, 'top');
    const over = path.join(dir, 'over');
    const sync = { 'node-name': 'top', 'snapshot-file': over, 'snapshot-node-name': 'over' };
    expect(await client.refusal('blockdev-snapshot-sync', { ...sync, device: 'top' })).toMatch(/cannot both/);
    expect(await client.refusal('blockdev-snapshot-sync', { ...sync, format: 'raw' })).toMatch(/raw/);
    expect(await client.refusal('blockdev-snapshot-sync', { ...sync, 'snapshot-node-name': 'mid' })).toMatch(/already/);
    await client.run('blockdev-snapshot-sync', sync);
    expect(user.image.name).toBe('over');
    await user.write(0, Buffer.alloc(MiB, 7));
    const change = { device: 'over', 'image-node-name': 'over', 'backing-file': 'top' };
    expect(await client.refusal('change-backing-file', { ...change, 'image-node-name': 'none' })).toMatch(/no node/);
    await client.run('change-backing-file', change);
    await user.close();
    await service.graph.close();
    expect(backingOf(over)).toBe('top');
    expect(content(over, [7, 2, 3, 0])).toBe('as expected');
    expect(content(files[2] ?? '', [1, 2, 3, 0])).toBe('as expected');
    check(over, ...files);
  });

  test('blockdev-snapshot puts an open image on top', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir, files } = await chain(made, tempDir());
    const over = path.join(dir, 'over');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', files[2] ?? '', '-F', 'qcow2', over]);
    const file = { driver: 'file', filename: over };
    await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'over', file, backing: null });
    expect(await client.refusal('blockdev-snapshot', { node: 'over', overlay: 'top' })).toMatch(/top|over/);
    expect(await client.refusal('blockdev-snapshot', { node: 'top', overlay: 'none' })).toMatch(/no node/);
    const user = userOf(made, 'top');
    await client.run('blockdev-snapshot', { node: 'top', overlay: 'over' });
    await user.write(3 * MiB, Buffer.alloc(MiB, 7));
    await user.close();
    await service.graph.close();
    expect(content(over, [1, 2, 3, 7])).toBe('as expected');
    check(over, ...files);
  });

  test('blockdev-snapshot-internal-sync and -delete-', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { files } = await chain(made, tempDir());
    const snap = { device: 'top', name: 's' };
    await client.run('blockdev-snapshot-internal-sync', snap);
    expect(await client.refusal('blockdev-snapshot-internal-sync', snap)).toMatch(/'s'/);
    expect(await client.refusal('blockdev-snapshot-internal-sync', { ...snap, device: 'none' })).toMatch(/no node/);
    await dirty(made, 0);
    await client.run('blockdev-snapshot-internal-sync', { ...snap, name: 't' });
    const gone = 'blockdev-snapshot-delete-internal-sync';
    expect(await client.refusal(gone, { device: 'top' })).toMatch(/one of 'id' and 'name'/);
    expect(await client.refusal(gone, { device: 'top', name: 'none' })).toMatch(/none/);
    expect(await client.run(gone, snap)).toMatchObject({ id: '1', name: 's', 'vm-state-size': 0 });
    await service.graph.close();
    const list = execFileSync('qemu-img', ['snapshot', '-l', files[2] ?? ''], { encoding: 'utf8' });
    expect(list.split('\n').filter((line) => /^\d/.test(line))).toHaveLength(1);
    check(...files);
  });
});

describe('transaction', () => {
  test('undoes all, in the graph and on disk', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir, files } = await chain(made, tempDir());
    const b = { node: 'top', name: 'b' };
    await client.run('block-dirty-bitmap-add', { ...b, granularity: 65536 });
    await client.run('block-dirty-bitmap-add', { ...b, name: 'p', persistent: true });
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'null', size: 4 * MiB });
    await dirty(made, 0);
    const user = userOf(made, 'top');
    const before = await bitmaps(client);
    const hash = await client.run('x-debug-block-dirty-bitmap-sha256', b);
    const nodes = [...service.graph.nodes.keys()];
    const actions = [
      act('block-dirty-bitmap-add', { ...b, name: 'new', persistent: true }),
      act('block-dirty-bitmap-clear', b),
      act('block-dirty-bitmap-merge', { node: 'top', target: 'b', bitmaps: ['new'] }),
      act('block-dirty-bitmap-disable', { ...b, name: 'p' }),
      act('block-dirty-bitmap-remove', { ...b, name: 'new' }),
      act('blockdev-snapshot-internal-sync', { device: 'top', name: 's' }),
      act('blockdev-backup', { 'job-id': 'j', device: 'top', target: 'null', sync: 'full', 'auto-dismiss': false }),
      act('blockdev-snapshot-sync', {
        'node-name': 'top',
        'snapshot-file': path.join(dir, 'over'),
        'snapshot-node-name': 'over',
      }),
    ];
    for (let count = 1; count <= actions.length; count++) {
      expect(await refused(client, ...actions.slice(0, count), act('abort')), `${count} actions`).toMatch(/abort/);
      expect(await bitmaps(client)).toEqual(before);
      expect([...service.graph.nodes.keys()]).toEqual(nodes);
    }
    expect(await client.run('x-debug-block-dirty-bitmap-sha256', b)).toEqual(hash);
    expect(user.image.name).toBe('top');
    expect(service.jobs.all()).toEqual([]);
    await user.write(3 * MiB, Buffer.alloc(MiB, 6));
    await user.close();
    await service.graph.close();
    check(...files);
    expect(execFileSync('qemu-img', ['snapshot', '-l', files[2] ?? ''], { encoding: 'utf8' })).toBe('');
  });

  test('backs up several disks and begins their bitmaps at one point in time', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir } = await chain(made, tempDir());
    const targets = ['x', 'y'].map((name) => path.join(dir, name));
    for (const [index, filename] of targets.entries()) {
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', filename, '4M']);
      const node = { driver: 'qcow2', 'node-name': ['x', 'y'][index], file: { driver: 'file', filename } };
      await client.run('blockdev-add', node);
    }
    await client.run('block-dirty-bitmap-add', { node: 'top', name: 'old' });
    const user = userOf(made, 'top');
    const backup = (target: string) =>
      act('blockdev-backup', { 'job-id': target, device: 'top', target, sync: 'full' });
    const done = transaction(
      client,
      act('block-dirty-bitmap-add', { node: 'top', name: 'since' }),
      backup('x'),
      act('block-dirty-bitmap-clear', { node: 'top', name: 'old' }),
    );
    await done;
    await user.write(0, Buffer.alloc(MiB, 9));
    await ends(client, 'x');
    expect((await bitmaps(client)).map(({ name, count }) => [name, count])).toEqual([
      ['old', MiB],
      ['since', MiB],
    ]);
    await user.close();
    await service.graph.close();
    expect(content(targets[0] ?? '', [1, 2, 3, 0])).toBe('as expected');
    check(...targets);
  });

  test('says what is wrong before anything is done', async () => {
    await using made = await scene();
    const { client } = made;
    await chain(made, tempDir());
    expect(await refused(client, act('block-dirty-bitmap-add', { node: 'top' }))).toMatch(/name/);
    expect(await refused(client, act('what'))).toMatch(/what/);
    expect(
      await refused(
        client,
        act('block-dirty-bitmap-add', { node: 'top', name: 'b' }),
        act('blockdev-backup', { device: 'top', target: 'none', sync: 'full' }),
      ),
    ).toMatch(/no node named 'none'/);
    expect(await bitmaps(client)).toEqual([]);
    expect(await transaction(client)).toEqual({});
  });
});
