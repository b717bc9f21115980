/** Jobs on a chain as clients open it: the layers below the active one are read-only, as backing files are. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { tempDir } from '../../support/temp.ts';
import { type Scene, scene } from './client.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZE = 4 * MiB;

interface Chain {
  readonly user: Backend;
  readonly model: Buffer;
  file(layer: number): string;
}

/** Four layers `l0` to `l3` with data of their own, opened by one command; a user who may write is on top. */
async function chain(made: Scene): Promise<Chain> {
  const folder = tempDir();
  const file = (layer: number) => path.join(folder, `l${layer}.qcow2`);
  const model = Buffer.alloc(SIZE);
  for (let layer = 0; layer < 4; layer++) {
    const below = layer > 0 ? ['-b', file(layer - 1), '-F', 'qcow2'] : [];
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...below, file(layer), String(SIZE)]);
    const at = layer * 100 * KiB;
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -P ${layer + 1} ${at} 300k`, file(layer)]);
    model.fill(layer + 1, at, at + 300 * KiB);
  }
  const spec = (layer: number): object => ({
    driver: 'qcow2',
    'node-name': `l${layer}`,
    file: { driver: 'file', filename: file(layer) },
    ...(layer > 0 ? { backing: spec(layer - 1) } : {}),
  });
  await made.client.run('blockdev-add', spec(3));
  const { graph } = made.service;
  const permissions = { perm: Perm.CONSISTENT_READ | Perm.WRITE, shared: Perm.ALL };
  const user = Backend.attach(graph, graph.find('l3'), { user: 'the test', permissions });
  return { user, model, file };
}

function backingName(file: string): unknown {
  const info: unknown = JSON.parse(execFileSync('qemu-img', ['info', '--output=json', file], { encoding: 'utf8' }));
  return (info as Record<string, unknown>)['backing-filename'];
}

async function readOnly({ client }: Scene): Promise<Record<string, unknown>> {
  const nodes = await client.run<Record<string, unknown>[]>('query-named-block-nodes', { flat: true });
  return Object.fromEntries(
    nodes
      .filter((each) => each.drv === 'qcow2')
      .map((each) => [String(each['node-name']), each.ro] as const)
      .sort(([a], [b]) => a.localeCompare(b)),
  );
}

/** The user goes on writing, sees what he must, and the files are sound. */
async function sound(made: Scene, { user, model, file }: Chain, layers: readonly number[]): Promise<void> {
  await user.write(SIZE - 64 * KiB, Buffer.alloc(64 * KiB, 99));
  model.fill(99, SIZE - 64 * KiB);
  const seen = Buffer.alloc(SIZE);
  await user.read(0, seen);
  expect(Buffer.compare(seen, model)).toBe(0);
  await user.close();
  await made.service.close();
  for (const layer of layers) execFileSync('qemu-img', ['check', '-q', file(layer)]);
  const top = layers.at(-1) ?? 0;
  execFileSync('qemu-img', ['convert', '-O', 'raw', file(top), `${file(top)}.raw`]);
  expect(Buffer.compare(readFileSync(`${file(top)}.raw`), model)).toBe(0);
}

describe('on a chain whose lower layers are read-only', () => {
  test('layers in between are committed, and the base is read-only again', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    expect(await readOnly(made)).toEqual({ l0: true, l1: true, l2: true, l3: false });
    const args = { 'job-id': 'j', device: 'l3', 'top-node': 'l1', 'base-node': 'l0', 'auto-finalize': false };
    await client.run('block-commit', args);
    await client.event('JOB_STATUS_CHANGE', ({ status }) => status === 'pending');
    // The base takes data, and the layer above it a new name of its backing file.
    expect(await readOnly(made)).toMatchObject({ l0: false, l1: true, l2: false });
    await client.run('job-finalize', { id: 'j' });
    await client.event('BLOCK_JOB_COMPLETED');
    expect(await readOnly(made)).toEqual({ l0: true, l2: true, l3: false });
    await sound(made, disk, [0, 2, 3]);
  });

  test('the active layer is committed, and its users write to the base', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    await client.run('block-commit', { 'job-id': 'j', device: 'l3', 'base-node': 'l1' });
    await client.event('BLOCK_JOB_READY');
    await client.run('job-complete', { id: 'j' });
    await client.event('BLOCK_JOB_COMPLETED');
    expect(disk.user.image.name).toBe('l1');
    expect(await readOnly(made)).toMatchObject({ l0: true, l1: false });
    await sound(made, disk, [0, 1]);
  });

  test('a commit of the active layer that is cancelled leaves the base read-only', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    await client.run('block-commit', { 'job-id': 'j', device: 'l3', 'base-node': 'l0' });
    await client.event('BLOCK_JOB_READY');
    await client.run('job-cancel', { id: 'j' });
    await client.event('JOB_STATUS_CHANGE', ({ status }) => status === 'null');
    expect(await readOnly(made)).toEqual({ l0: true, l1: true, l2: true, l3: false });
    await sound(made, disk, [0, 1, 2, 3]);
  });

  test('a layer in between is streamed into, and is read-only again', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    await client.run('block-stream', { 'job-id': 'j', device: 'l2', 'base-node': 'l0' });
    await client.event('BLOCK_JOB_COMPLETED');
    expect(await readOnly(made)).toEqual({ l0: true, l2: true, l3: false });
    await sound(made, disk, [0, 2, 3]);
  });

  test('two jobs need layers of one chain: each is read-only after the last of them', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    const later = { 'auto-finalize': false };
    await client.run('block-commit', { 'job-id': 'low', device: 'l3', 'top-node': 'l1', 'base-node': 'l0', ...later });
    await client.run('block-stream', { 'job-id': 'high', device: 'l3', 'base-node': 'l2', ...later });
    await client.event('JOB_STATUS_CHANGE', ({ id, status }) => id === 'low' && status === 'pending');
    await client.event('JOB_STATUS_CHANGE', ({ id, status }) => id === 'high' && status === 'pending');
    await client.run('job-finalize', { id: 'low' });
    await client.run('job-finalize', { id: 'high' });
    await client.event('JOB_STATUS_CHANGE', ({ id, status }) => id === 'low' && status === 'null');
    await client.event('JOB_STATUS_CHANGE', ({ id, status }) => id === 'high' && status === 'null');
    expect(await readOnly(made)).toEqual({ l0: true, l2: true, l3: false });
    await sound(made, disk, [0, 2, 3]);
    // Plain names, although the chain was described by the client and jobs had filters in it.
    expect(backingName(disk.file(3))).toBe(disk.file(2));
    expect(backingName(disk.file(2))).toBe(disk.file(0));
  });

  test('a job that is refused changes nothing', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'taken', size: MiB });
    const args = { 'job-id': 'j', device: 'l3', 'filter-node-name': 'taken' };
    expect(await client.refusal('block-commit', { ...args, 'base-node': 'l0' })).toMatch(/taken/);
    expect(await client.refusal('block-commit', { ...args, 'top-node': 'l1', 'base-node': 'l0' })).toMatch(/taken/);
    expect(await client.refusal('block-stream', { ...args, device: 'l2' })).toMatch(/taken/);
    expect(await readOnly(made)).toMatchObject({ l0: true, l1: true, l2: true, l3: false });
    await sound(made, disk, [0, 1, 2, 3]);
  });

  test('an image in between is given another backing file name', async () => {
    await using made = await scene();
    const disk = await chain(made);
    const { client } = made;
    const args = { device: 'l3', 'image-node-name': 'l1', 'backing-file': 'l0.qcow2' };
    await client.run('change-backing-file', args);
    expect(await readOnly(made)).toEqual({ l0: true, l1: true, l2: true, l3: false });
    await sound(made, disk, [0, 1, 2, 3]);
    expect(backingName(disk.file(1))).toBe('l0.qcow2');
  });
});
