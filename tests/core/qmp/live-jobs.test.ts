import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tempDir } from '../../support/temp.ts';
import { backingOf, chain, check, content, ends, MiB, reaches, userOf } from './chain.ts';
import { scene } from './client.ts';

describe('drive-mirror', () => {
  test('copies a disk in use to a new file, and its users go on there', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir, files } = await chain(made, tempDir());
    const user = userOf(made, 'top');
    const target = path.join(dir, 'target');
    await client.run('drive-mirror', {
      'job-id': 'm',
      device: 'top',
      target,
      sync: 'full',
      format: 'qcow2',
      'node-name': 'new',
    });
    await reaches(client, 'm', 'ready');
    await user.write(3 * MiB, Buffer.alloc(MiB, 9));
    await client.run('block-job-change', { type: 'mirror', id: 'm', 'copy-mode': 'write-blocking' });
    await user.write(0, Buffer.alloc(MiB, 8));
    await client.run('block-job-complete', { device: 'm' });
    expect((await ends(client, 'm')).event).toBe('BLOCK_JOB_COMPLETED');
    expect(user.image.name).toBe('new');
    await user.write(MiB, Buffer.alloc(MiB, 7));
    await user.close();
    expect([...service.graph.nodes.keys()]).toContain('top');
    await service.graph.close();
    expect(content(target, [8, 7, 3, 9])).toBe('as expected');
    expect(backingOf(target)).toBeUndefined();
    check(target, ...files);
  });

  test.each([
    ['top', 'mid'],
    ['none', 'top'],
  ])('with sync=%s makes a file on top of what is below', async (sync, below) => {
    await using made = await scene();
    const { client, service } = made;
    const { dir } = await chain(made, tempDir());
    const target = path.join(dir, 'target');
    await client.run('drive-mirror', { 'job-id': 'm', device: 'top', target, sync });
    await reaches(client, 'm', 'ready');
    await client.run('block-job-cancel', { device: 'm' });
    await ends(client, 'm');
    await service.graph.close();
    expect(backingOf(target)).toBe(path.join(dir, below));
    expect(content(target, [1, 2, 3, 0])).toBe('as expected');
    check(target);
  });

  test('says what is wrong, and leaves nothing behind', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir, files } = await chain(made, tempDir());
    const before = [...service.graph.nodes.keys()];
    const good = { 'job-id': 'm', device: 'top', target: path.join(dir, 'target'), sync: 'full' };
    expect(await client.refusal('drive-mirror', { ...good, device: 'none' })).toMatch(/no node named 'none'/);
    expect(await client.refusal('drive-mirror', { ...good, replaces: 'none' })).toMatch(/no node named 'none'/);
    expect(await client.refusal('drive-mirror', { ...good, format: 'none' })).toMatch(/'none'/);
    expect(await client.refusal('drive-mirror', { ...good, mode: 'existing' })).toMatch(/No such file/);
    expect(await client.refusal('drive-mirror', { ...good, target: files[2] })).toMatch(/lock|in use/i);
    expect(await client.refusal('drive-mirror', { ...good, granularity: 1000 })).toMatch(/granularity/);
    expect(await client.refusal('drive-mirror', { ...good, sync: 'some' })).toMatch(/some/);
    expect([...service.graph.nodes.keys()]).toEqual(before);
    expect(service.jobs.all()).toEqual([]);
  });
});

describe('block-commit', () => {
  test('of a layer between brings it down and changes the text in the one above', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { files } = await chain(made, tempDir());
    const [base = '', , top = ''] = files;
    await client.run('block-commit', { 'job-id': 'c', device: 'top', 'top-node': 'mid', 'base-node': 'base' });
    await ends(client, 'c');
    await service.graph.close();
    expect(backingOf(top)).toBe(base);
    expect(content(base, [1, 2, 0, 0])).toBe('as expected');
    expect(content(top, [1, 2, 3, 0])).toBe('as expected');
    check(base, top);
  });

  test('of the active layer is ready, and its users go on below', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { files } = await chain(made, tempDir());
    const user = userOf(made, 'top');
    await client.run('block-commit', { 'job-id': 'c', device: 'top', base: files[1] });
    await reaches(client, 'c', 'ready');
    await user.write(3 * MiB, Buffer.alloc(MiB, 9));
    await client.run('job-complete', { id: 'c' });
    await ends(client, 'c');
    expect(user.image.name).toBe('mid');
    await user.close();
    await service.graph.close();
    expect(content(files[1] ?? '', [1, 2, 3, 9])).toBe('as expected');
    check(...files);
  });

  test('says what is wrong', async () => {
    await using made = await scene();
    const { client, service } = made;
    await chain(made, tempDir());
    const good = { 'job-id': 'c', device: 'top' };
    expect(await client.refusal('block-commit', { ...good, 'top-node': 'none' })).toMatch(
      /'none' is no layer of 'top'/,
    );
    expect(await client.refusal('block-commit', { ...good, base: 'x', 'base-node': 'base' })).toMatch(/cannot both/);
    expect(await client.refusal('block-commit', { ...good, 'top-node': 'base', 'base-node': 'mid' })).toMatch(/base/);
    expect(await client.refusal('block-commit', { ...good, 'backing-file': 'x' })).toMatch(/backing-file/);
    expect(await client.refusal('block-commit', { device: 'base' })).toMatch(/base/);
    expect(service.jobs.all()).toEqual([]);
  });
});

describe('block-stream', () => {
  test('brings all up, or what lies above a base', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { files } = await chain(made, tempDir());
    const [base = '', , top = ''] = files;
    await client.run('block-stream', { 'job-id': 's', device: 'top', 'base-node': 'base', 'backing-file': base });
    await ends(client, 's');
    expect(backingOf(top)).toBe(base);
    await client.run('block-stream', { 'job-id': 's', device: 'top', speed: 1e9, 'auto-finalize': false });
    await client.event('BLOCK_JOB_PENDING');
    await client.run('job-finalize', { id: 's' });
    await ends(client, 's');
    await service.graph.close();
    expect(backingOf(top)).toBeUndefined();
    expect(content(top, [1, 2, 3, 0])).toBe('as expected');
    check(...files);
  });

  test('with bottom brings up that layer, too', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { files } = await chain(made, tempDir());
    await client.run('block-stream', { 'job-id': 's', device: 'top', bottom: 'mid' });
    await ends(client, 's');
    await service.graph.close();
    expect(backingOf(files[2] ?? '')).toBe(files[0]);
    expect(content(files[2] ?? '', [1, 2, 3, 0])).toBe('as expected');
  });

  test('says what is wrong', async () => {
    await using made = await scene();
    const { client, service } = made;
    await chain(made, tempDir());
    const good = { 'job-id': 's', device: 'top' };
    expect(await client.refusal('block-stream', { ...good, base: 'x', 'base-node': 'base' })).toMatch(/cannot both/);
    expect(await client.refusal('block-stream', { ...good, 'base-node': 'base', bottom: 'mid' })).toMatch(
      /cannot both/,
    );
    expect(await client.refusal('block-stream', { ...good, 'base-node': 'none' })).toMatch(/no layer/);
    expect(await client.refusal('block-stream', { ...good, bottom: 'top' })).toMatch(/bottom|top/);
    expect(service.jobs.all()).toEqual([]);
  });
});

describe('backups', () => {
  test('copy the disk as it was, and tell the bitmap', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir } = await chain(made, tempDir());
    const user = userOf(made, 'top');
    const full = path.join(dir, 'full');
    await client.run('block-dirty-bitmap-add', { node: 'top', name: 'b' });
    await client.run('drive-backup', { 'job-id': 'b', device: 'top', target: full, sync: 'full', format: 'qcow2' });
    await user.write(0, Buffer.alloc(MiB, 9));
    await ends(client, 'b');
    const rest = path.join(dir, 'rest');
    fs.copyFileSync(full, rest);
    await client.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'rest',
      file: { driver: 'file', filename: rest },
    });
    await client.run('blockdev-backup', {
      'job-id': 'b',
      device: 'top',
      target: 'rest',
      sync: 'incremental',
      bitmap: 'b',
    });
    await ends(client, 'b');
    await user.close();
    await service.graph.close();
    expect(content(full, [1, 2, 3, 0])).toBe('as expected');
    expect(content(rest, [9, 2, 3, 0])).toBe('as expected');
    check(full, rest);
  });

  test('say what is wrong, and leave nothing behind', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { dir } = await chain(made, tempDir());
    const before = [...service.graph.nodes.keys()];
    const drive = { 'job-id': 'b', device: 'top', target: path.join(dir, 'new'), sync: 'full' };
    expect(await client.refusal('drive-backup', { ...drive, sync: 'incremental' })).toMatch(/bitmap/);
    expect(await client.refusal('drive-backup', { ...drive, sync: 'bitmap', bitmap: 'none' })).toMatch(/bitmap/);
    expect(await client.refusal('drive-backup', { ...drive, mode: 'existing', target: `${dir}/no` })).toMatch(
      /No such/,
    );
    expect(await client.refusal('drive-backup', { ...drive, compress: true, format: 'raw' })).toMatch(/compress/);
    const blockdev = { 'job-id': 'b', device: 'top', sync: 'full' };
    expect(await client.refusal('blockdev-backup', { ...blockdev, target: 'none' })).toMatch(/no node named/);
    expect(await client.refusal('blockdev-backup', { ...blockdev, target: 'top' })).toMatch(/own backup/);
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'short', size: MiB });
    expect(await client.refusal('blockdev-backup', { ...blockdev, target: 'short' })).toMatch(/1048576/);
    await client.run('blockdev-del', { 'node-name': 'short' });
    expect([...service.graph.nodes.keys()]).toEqual(before);
    expect(service.jobs.all()).toEqual([]);
  });
});

describe('x-blockdev-amend', () => {
  test('changes an image in use', async () => {
    await using made = await scene();
    const { client, service } = made;
    const { files } = await chain(made, tempDir());
    const amend = { 'job-id': 'a', 'node-name': 'base' };
    expect(await client.refusal('x-blockdev-amend', { ...amend, options: { driver: 'raw' } })).toMatch(/raw/);
    expect(
      await client.refusal('x-blockdev-amend', { ...amend, options: { driver: 'qcow2', 'cluster-size': 512 } }),
    ).toMatch(/cluster-size/);
    await client.run('x-blockdev-amend', { ...amend, options: { driver: 'qcow2', 'lazy-refcounts': true } });
    await reaches(client, 'a', 'concluded');
    expect(await client.run('query-jobs')).toEqual([expect.not.objectContaining({ error: expect.anything() })]);
    await client.run('job-dismiss', { id: 'a' });
    await service.graph.close();
    expect(content(files[2] ?? '', [1, 2, 3, 0])).toBe('as expected');
    check(...files);
  });
});
