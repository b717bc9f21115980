import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { namedBackends } from '../../../src/core/qmp/index.ts';
import { tempDir } from '../../support/temp.ts';
import { type Client, type Scene, scene } from './client.ts';

const MiB = 1024 * 1024;

/** A qcow2 node `disk` on a file node `file`, made by commands alone. */
async function withDisk(made: Scene, dir: string): Promise<string> {
  const filename = path.join(dir, 'disk.qcow2');
  const { client } = made;
  await create(client, { driver: 'file', filename });
  await client.run('blockdev-add', { driver: 'file', 'node-name': 'file', filename, discard: 'unmap' });
  await create(client, { driver: 'qcow2', file: 'file', size: 16 * MiB, version: 'v3', 'cluster-size': 65536 });
  await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: 'file' });
  return filename;
}

async function create(client: Client, options: object): Promise<void> {
  await client.run('blockdev-create', { 'job-id': 'make', options });
  await client.until(({ event, data }) => event === 'JOB_STATUS_CHANGE' && data?.status === 'concluded');
  const [job] = await client.run<{ error?: string }[]>('query-jobs');
  await client.run('job-dismiss', { id: 'make' });
  client.messages.length = 0;
  if (job?.error !== undefined) throw new Error(job.error);
}

function backend(made: Scene, name: string, perm: number = Perm.CONSISTENT_READ | Perm.WRITE): Backend {
  const { graph } = made.service;
  return Backend.attach(graph, graph.find(name), {
    user: 'the test',
    name: 'e',
    permissions: { perm, shared: Perm.ALL },
  });
}

describe('nodes', () => {
  test('are made, opened, listed and closed', async () => {
    await using made = await scene();
    const { client } = made;
    await withDisk(made, tempDir());
    const nodes = await client.run<Record<string, unknown>[]>('query-named-block-nodes', { flat: true });
    expect(nodes.map((each) => [each['node-name'], each.drv, each.ro])).toEqual([
      ['file', 'file', false],
      ['disk', 'qcow2', false],
    ]);
    expect(await client.refusal('blockdev-del', { 'node-name': 'file' })).toMatch(/'file' is in use by node 'disk'/);
    expect(await client.refusal('blockdev-add', { driver: 'file', 'node-name': 'disk', filename: 'x' })).toMatch(
      /already/,
    );
    expect(await client.refusal('blockdev-add', { driver: 'file', 'node-name': 'x', filename: '/no/such' })).toMatch(
      /No such/,
    );
    expect(await client.refusal('blockdev-add', { driver: 'file', filename: 'x' })).toMatch(
      /'node-name' must be given/,
    );
    expect(await client.refusal('blockdev-add', { driver: 'qcow2', 'node-name': 'x', file: 'none' })).toMatch(
      /no node named/,
    );
    expect(await client.refusal('blockdev-add', { driver: 'qcow2', 'node-name': 'x', file: 1 })).toMatch(
      /type for 'file'/,
    );
    expect(await client.refusal('blockdev-add', { driver: 'what', 'node-name': 'x' })).toMatch(
      /not accept value 'what'/,
    );
    expect((await client.ask('blockdev-del', { 'node-name': 'none' })).error?.class).toBe('GenericError');
    await client.run('blockdev-del', { 'node-name': 'disk' });
    await client.run('blockdev-del', { 'node-name': 'file' });
    expect(await client.run('query-named-block-nodes')).toEqual([]);
  });

  test('are not made on a backing file of a format that nobody knows', async () => {
    await using made = await scene();
    const { client } = made;
    const filename = path.join(tempDir(), 'disk.qcow2');
    await create(client, { driver: 'file', filename });
    await client.run('blockdev-add', { driver: 'file', 'node-name': 'file', filename });
    const options = { driver: 'qcow2', file: 'file', size: MiB, 'backing-file': 'base', 'backing-fmt': 'nonsense' };
    await expect(create(client, options)).rejects.toThrow("unknown driver 'nonsense'");
    expect(fs.statSync(filename).size).toBe(0);
  });

  test('take the words of QEMU for the encryption of an image, and refuse that of old', async () => {
    await using made = await scene();
    const { client } = made;
    const filename = path.join(tempDir(), 'disk.qcow2');
    for (const id of ['k', 'l']) await client.run('object-add', { 'qom-type': 'secret', id, data: `the ${id}` });
    await create(client, { driver: 'file', filename });
    await client.run('blockdev-add', { driver: 'file', 'node-name': 'file', filename });
    const encrypted = (encrypt: object) => ({ driver: 'qcow2', file: 'file', size: MiB, encrypt });
    for (const format of ['qcow', 'aes']) {
      await expect(create(client, encrypted({ format, 'key-secret': 'k' }))).rejects.toThrow(
        /are not encrypted as aes/,
      );
    }
    const wrong = { 'job-id': 'j', options: encrypted({ format: 'luk' }) };
    expect(await client.refusal('blockdev-create', wrong)).toMatch(/does not accept value 'luk'/);
    await create(client, encrypted({ format: 'luks', 'key-secret': 'k', 'iter-time': 10 }));
    const encrypt = { format: 'luks', 'key-secret': 'k' };
    await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: 'file', encrypt });
    const change = { state: 'active', 'new-secret': 'l', 'iter-time': 10 };
    const amend = async (format: string): Promise<unknown> => {
      const options = { driver: 'qcow2', encrypt: { format, ...change } };
      await client.run('x-blockdev-amend', { 'job-id': 'a', 'node-name': 'disk', options });
      await client.until(({ event, data }) => event === 'JOB_STATUS_CHANGE' && data?.status === 'concluded');
      const jobs = await client.run('query-jobs');
      await client.run('job-dismiss', { id: 'a' });
      client.messages.length = 0;
      return jobs;
    };
    expect(await amend('qcow')).toMatchObject([{ error: expect.stringMatching(/encrypted as luks, not as .*=qcow/) }]);
    expect(await amend('luks')).toEqual([expect.not.objectContaining({ error: expect.anything() })]);
    await client.run('blockdev-del', { 'node-name': 'disk' });
    const other = { format: 'luks', 'key-secret': 'l' };
    await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: 'file', encrypt: other });
  });

  test('say why requests of a file cannot be carried out otherwise', async () => {
    await using made = await scene();
    const file = { driver: 'file', 'node-name': 'n', filename: path.join(tempDir(), 'a'), aio: 'io_uring' };
    expect(await made.client.refusal('blockdev-add', file)).toMatch(/aio=io_uring is not available/);
  });

  test('closed by force give their users errors, and no file stays open', async () => {
    await using made = await scene();
    const { client, service } = made;
    const filename = await withDisk(made, tempDir());
    const user = backend(made, 'disk');
    await user.write(0, Buffer.alloc(4096, 7));
    await client.run('blockdev-del', { 'node-name': 'file', force: true });
    await expect(async () => user.read(8 * MiB, Buffer.alloc(512))).not.toThrow();
    await expect((async () => user.read(0, Buffer.alloc(512)))()).rejects.toThrow("'file' has been closed");
    expect(openFiles(filename)).toBe(0);
    await user.close();
    await client.ask('blockdev-del', { 'node-name': 'disk' });
    expect(service.graph.nodes.size).toBe(0);
    // What was written before was put on disk first.
    expect(
      execFileSync('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 7 0 4k', filename], { encoding: 'utf8' }),
    ).toMatch(/read 4096/);
  });

  test('are resized, and tell when a write goes past a threshold', async () => {
    await using made = await scene();
    const { client } = made;
    await withDisk(made, tempDir());
    await client.run('block_resize', { 'node-name': 'disk', size: 32 * MiB });
    await client.run('block-set-write-threshold', { 'node-name': 'disk', 'write-threshold': 20 * MiB });
    const user = backend(made, 'disk');
    expect(user.size).toBe(32 * MiB);
    await user.write(20 * MiB - 512, Buffer.alloc(512));
    await user.write(20 * MiB, Buffer.alloc(1024));
    await user.write(21 * MiB, Buffer.alloc(512));
    const events = client.messages.filter(({ event }) => event === 'BLOCK_WRITE_THRESHOLD');
    expect(events.map(({ data }) => data)).toEqual([
      { 'node-name': 'disk', 'amount-exceeded': 1024, 'write-threshold': 20 * MiB },
    ]);
    await user.close();
  });
});

describe('blockdev-reopen', () => {
  test('makes a node read-only and read-write again, with its file, while it is used', async () => {
    await using made = await scene();
    const { client, service } = made;
    const filename = await withDisk(made, tempDir());
    const user = backend(made, 'disk', Perm.CONSISTENT_READ);
    const disk = { driver: 'qcow2', 'node-name': 'disk', file: 'file' };
    const file = { driver: 'file', 'node-name': 'file', filename };
    await client.run('blockdev-reopen', {
      options: [
        { ...disk, 'read-only': true },
        { ...file, 'read-only': true },
      ],
    });
    expect([...service.graph.nodes.values()].map(({ modes }) => modes.readOnly)).toEqual([true, true]);
    expect(openFiles(filename)).toBe(1);
    // Nothing is written from here any more: another program gets to read it without --force-share.
    expect(execFileSync('qemu-img', ['check', filename], { encoding: 'utf8' })).toMatch(/No errors/);
    await client.run('blockdev-reopen', {
      options: [file, { ...disk, 'lazy-refcounts': true, 'l2-cache-size': 131072 }],
    });
    user.setPermissions({ perm: Perm.CONSISTENT_READ | Perm.WRITE, shared: Perm.ALL });
    await user.write(MiB, Buffer.alloc(65536, 9));
    expect(await client.refusal('blockdev-reopen', { options: [{ ...disk, 'read-only': true }] })).toMatch(/read-only/);
    const back = Buffer.alloc(65536);
    await user.read(MiB, back);
    expect(back.equals(Buffer.alloc(65536, 9))).toBe(true);
    await user.close();
    await client.run('blockdev-del', { 'node-name': 'disk' });
    expect(execFileSync('qemu-img', ['check', filename], { encoding: 'utf8' })).toMatch(/No errors/);
  });

  test('changes all or nothing, and says what cannot be changed', async () => {
    await using made = await scene();
    const { client, service } = made;
    const filename = await withDisk(made, tempDir());
    const disk = { driver: 'qcow2', 'node-name': 'disk', file: 'file' };
    const refusals = [
      [[{ ...disk, driver: 'raw' }], /cannot change from qcow2 to raw/],
      [
        [
          { ...disk, 'detect-zeroes': 'on' },
          { driver: 'file', 'node-name': 'file', filename: `${filename}2` },
        ],
        /No such/,
      ],
      [[{ driver: 'file', 'node-name': 'file', filename, locking: 'off' }], /locking/],
      [[disk, disk], /named twice/],
      [[{ ...disk, 'l2-cache-entry-size': 1024 * MiB }], /l2-cache-entry-size/],
      [[{ ...disk, backing: 'disk' }], /cycle/],
      [[{ driver: 'qcow2', file: 'file' }], /'node-name' must be given/],
    ] as const;
    for (const [options, why] of refusals) expect(await client.refusal('blockdev-reopen', { options })).toMatch(why);
    expect(service.graph.find('disk').detectZeroes).toBe('off');
    await client.run('blockdev-reopen', { options: [{ ...disk, 'detect-zeroes': 'on' }] });
    expect(service.graph.find('disk').detectZeroes).toBe('on');
  });

  test('moves a node to another child under its users', async () => {
    await using made = await scene();
    const { client } = made;
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'a', size: MiB, 'read-zeroes': true });
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'b', size: 2 * MiB, 'read-zeroes': true });
    await client.run('blockdev-add', { driver: 'throttle', 'node-name': 't', file: 'a', 'bps-total': 1e12 });
    const user = backend(made, 't', Perm.CONSISTENT_READ);
    expect(user.size).toBe(MiB);
    await client.run('blockdev-reopen', {
      options: [{ driver: 'throttle', 'node-name': 't', file: 'b', 'bps-total': 1e12 }],
    });
    expect(user.size).toBe(2 * MiB);
    await client.run('blockdev-del', { 'node-name': 'a' });
    await user.close();
  });
});

describe('filters', () => {
  test('are put in and taken out between a node and its users', async () => {
    await using made = await scene();
    const { client, service } = made;
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'a', size: MiB });
    const user = backend(made, 'a', Perm.CONSISTENT_READ);
    const filter = { driver: 'throttle', 'node-name': 't', 'iops-total': 1e9 };
    await client.run('x-blockyard-insert-filter', { 'node-name': 'a', filter });
    expect(user.image.name).toBe('t');
    expect(await client.refusal('x-blockyard-remove-filter', { 'node-name': 'a' })).toMatch(/is no filter/);
    expect(await client.refusal('x-blockyard-insert-filter', { 'node-name': 'a', filter: { driver: 'what' } })).toMatch(
      /driver/,
    );
    await client.run('x-blockyard-remove-filter', { 'node-name': 't' });
    expect(user.image.name).toBe('a');
    expect([...service.graph.nodes.keys()]).toEqual(['a']);
    await user.close();
  });

  test('that are put on the source of a mirror stay when that ends on the source', async () => {
    await using made = await scene();
    const { client } = made;
    for (const name of ['a', 'b']) {
      await client.run('blockdev-add', { driver: 'null-co', 'node-name': name, size: MiB, 'read-zeroes': true });
    }
    const user = backend(made, 'a', Perm.CONSISTENT_READ);
    await client.run('blockdev-mirror', { 'job-id': 'j', device: 'a', target: 'b', sync: 'full' });
    await client.event('BLOCK_JOB_READY');
    const filter = { driver: 'throttle', 'node-name': 't', 'iops-total': 1e9 };
    await client.run('x-blockyard-insert-filter', { 'node-name': 'a', filter });
    expect(user.image.passedOn?.node.name).toBe('t');
    await client.run('block-job-cancel', { device: 'j' });
    await client.event('BLOCK_JOB_COMPLETED');
    expect(user.image.name).toBe('t');
    await user.close();
  });

  test('of every kind are put in, wherever they have what they filter', async () => {
    await using made = await scene();
    const { client, service } = made;
    const dir = tempDir();
    await withDisk(made, dir);
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'other', size: 16 * MiB, 'read-zeroes': true });
    const needs: Readonly<Record<string, object>> = {
      blklogwrites: { log: { driver: 'null-co', size: 16 * MiB } },
      blkverify: { test: 'other' },
      'copy-before-write': { target: 'other' },
      throttle: { 'iops-total': 1e9 },
      trace: { 'trace-file': path.join(dir, 'trace') },
    };
    const kinds = [...((await service.types()).get('BlockdevFilterOptions')?.cases?.keys() ?? [])];
    expect(kinds).toContain('blkdebug');
    const user = backend(made, 'disk', Perm.CONSISTENT_READ);
    for (const driver of kinds) {
      const filter = { driver, 'node-name': 'f', ...needs[driver] };
      await client.run('x-blockyard-insert-filter', { 'node-name': 'disk', filter });
      expect([user.image.name, user.image.passedOn?.node.name]).toEqual(['f', 'disk']);
      await user.read(0, Buffer.alloc(512));
      await client.run('x-blockyard-remove-filter', { 'node-name': 'f' });
      expect(user.image.name).toBe('disk');
    }
    await user.close();
  });
});

describe('accounts', () => {
  test('of exports and nodes are told, with histograms and intervals when wanted', async () => {
    await using made = await scene();
    const { client } = made;
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'a', size: MiB });
    const user = backend(made, 'a');
    await client.run('block-latency-histogram-set', { id: 'e', 'boundaries-read': [10, 1e9] });
    await client.run('x-blockyard-stats-intervals-set', { id: 'a', intervals: [60] });
    for (let n = 0; n < 100; n++) await user.read(0, Buffer.alloc(512));
    await user.write(1024, Buffer.alloc(2048));
    await expect((async () => user.read(2 * MiB, Buffer.alloc(1)))()).rejects.toThrow('outside');
    type Stats = {
      device?: string;
      stats: Record<string, unknown> & { rd_latency_histogram: { bins: number[] }; timed_stats: object[] };
    };
    const [own] = await client.run<Stats[]>('query-blockstats');
    expect(own?.device).toBe('e');
    expect(own?.stats).toMatchObject({
      rd_operations: 100,
      rd_bytes: 51200,
      wr_operations: 1,
      wr_bytes: 2048,
      wr_highest_offset: 3072,
      invalid_rd_operations: 1,
      failed_rd_operations: 0,
    });
    expect(own?.stats.rd_latency_histogram.bins.reduce((sum, bin) => sum + bin, 0)).toBe(100);
    const [node] = await client.run<Stats[]>('query-blockstats', { 'query-nodes': true });
    expect(node?.stats).toMatchObject({ rd_operations: 100, wr_operations: 1, invalid_rd_operations: 0 });
    expect(node?.stats.timed_stats).toHaveLength(1);
    expect(await client.refusal('block-latency-histogram-set', { id: 'e', boundaries: [5, 5] })).toMatch(/must ascend/);
    expect(await client.refusal('block-latency-histogram-set', { id: 'x', boundaries: [5] })).toMatch(
      /neither an export nor a node/,
    );
    await user.close();
  });

  test('limits of an export are set and taken away', async () => {
    await using made = await scene();
    const { client } = made;
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'a', size: MiB });
    const user = backend(made, 'a');
    const none = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };
    await client.run('block_set_io_throttle', { id: 'e', ...none, iops_rd: 1 });
    await user.read(0, Buffer.alloc(512));
    let passed = false;
    const waiting = Promise.resolve(user.read(0, Buffer.alloc(512))).then(() => {
      passed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(passed).toBe(false);
    await client.run('block_set_io_throttle', { id: 'e', ...none });
    await waiting;
    expect(await client.refusal('block_set_io_throttle', { id: 'e', ...none, bps: 1, bps_rd: 1 })).toMatch(
      /cannot be combined/,
    );
    expect(await client.refusal('block_set_io_throttle', none)).toMatch(/exactly one of/);
    await user.close();
  });
});

describe('an export with policies on errors', () => {
  test('stops where a request fails, and goes on there', async () => {
    await using made = await scene();
    const { client } = made;
    await client.run('blockdev-add', {
      driver: 'blkdebug',
      'node-name': 'd',
      image: { driver: 'null-co', size: MiB, 'read-zeroes': true },
      'inject-error': [{ event: 'none', iotype: 'write', errno: 28, once: true }],
    });
    const user = backend(made, 'd');
    await client.run('x-blockyard-export-error-policy', { id: 'e', werror: 'enospc' });
    const first = Promise.resolve(user.write(0, Buffer.alloc(512)));
    const event = await client.event('BLOCK_IO_ERROR');
    expect(event.data).toMatchObject({ device: 'e', operation: 'write', action: 'stop', nospace: true });
    expect(user.stopped).toBe(true);
    const second = Promise.resolve(user.write(512, Buffer.alloc(512)));
    await client.run('x-blockyard-export-resume', { id: 'e' });
    await Promise.all([first, second]);
    expect(user.accounts.write).toMatchObject({ operations: 2, failed: 1 });
    await user.close();
  });

  test('waits for nothing once its node is closed by force', async () => {
    await using made = await scene();
    const { client } = made;
    await client.run('blockdev-add', {
      driver: 'blkdebug',
      'node-name': 'd',
      image: { driver: 'null-co', size: MiB, 'read-zeroes': true },
      'inject-error': [{ event: 'none', iotype: 'read', errno: 5 }],
    });
    const user = backend(made, 'd');
    await client.run('x-blockyard-export-error-policy', { id: 'e', rerror: 'stop', werror: 'stop' });
    const stopped = Promise.resolve(user.read(0, Buffer.alloc(512)));
    await client.event('BLOCK_IO_ERROR');
    await client.run('blockdev-del', { 'node-name': 'd', force: true });
    await expect(stopped).rejects.toThrow("node 'd' has been closed");
    // It is still there for the commands on users, also beside another node of that name.
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'd', size: MiB });
    await client.run('block-latency-histogram-set', { id: 'e', boundaries: [10] });
    await client.run('x-blockyard-stats-intervals-set', { id: 'e', intervals: [1] });
    await client.run('block_set_io_throttle', { id: 'e', ...NO_RATES, iops: 1000 });
    await client.run('x-blockyard-export-error-policy', { id: 'e' });
    expect(await client.run('query-blockstats')).toMatchObject([{ device: 'e', stats: { failed_rd_operations: 2 } }]);
    await expect(async () => user.write(0, Buffer.alloc(512))).rejects.toThrow("node 'd' has been closed");
    await user.close();
    expect(await client.run('query-blockstats')).toEqual([]);
  });
});

test('an export has policies and intervals from its beginning, and is listed without its node once that is gone', async () => {
  await using made = await scene();
  const { client, service } = made;
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'n', size: MiB });
  const addr = { type: 'unix', data: { path: path.join(tempDir(), 's') } };
  await client.run('nbd-server-start', { addr });
  const wanted = { type: 'nbd', id: 'e', 'node-name': 'n', writable: true, werror: 'enospc', 'stats-intervals': [5] };
  const many = Array.from({ length: 17 }, () => 1);
  expect(await client.refusal('block-export-add', { ...wanted, 'stats-intervals': many })).toMatch(/16/);
  expect(await client.run('query-block-exports')).toEqual([]);
  await client.run('block-export-add', wanted);
  const [user] = namedBackends(service.graph);
  expect(user?.errorPolicies).toMatchObject({ read: 'report', write: 'enospc' });
  expect(await client.run('query-blockstats')).toMatchObject([{ stats: { timed_stats: [{ interval_length: 5 }] } }]);
  await client.run('blockdev-del', { 'node-name': 'n', force: true });
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'n', size: MiB });
  expect(await client.run('query-block-exports')).toMatchObject([{ id: 'e', 'node-name': '' }]);
  await client.run('block-export-del', { id: 'e', mode: 'hard' });
  await client.event('BLOCK_EXPORT_DELETED');
  expect(service.graph.closedInUse.size).toBe(0);
});

const NO_RATES = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };

function openFiles(filename: string): number {
  const real = fs.realpathSync(filename);
  return fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`) === real;
    } catch {
      return false;
    }
  }).length;
}

test('x-blockdev-set-iothread takes null, or an iothread that exists', async () => {
  await using made = await scene();
  const { client } = made;
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'n' });
  await client.run('x-blockdev-set-iothread', { 'node-name': 'n', iothread: null });
  expect(await client.refusal('x-blockdev-set-iothread', { 'node-name': 'n', iothread: 't' })).toMatch(/'t'/);
  await client.run('object-add', { 'qom-type': 'iothread', id: 't' });
  await client.run('x-blockdev-set-iothread', { 'node-name': 'n', iothread: 't' });
  expect(await client.refusal('x-blockdev-set-iothread', { 'node-name': 'x', iothread: null })).toMatch(/'x'/);
  expect(await client.refusal('x-blockdev-set-iothread', { 'node-name': 'n', iothread: 1 })).toMatch(/null/);
});
