/**
 * Jobs that make or change images, failed at every write that they do, one after the other: the job ends with that error,
 * what was made is made anew in the same node, and what was changed holds its data still, and is sound.
 */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import type { Image } from '../../../src/core/block/driver.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import { createImage } from '../../../src/core/job/create-image.ts';
import { addNode } from '../../../src/core/qmp/index.ts';
import { tempDir } from '../../support/temp.ts';
import { type Client, type Scene, scene } from '../qmp/client.ts';

const KiB = 1024;
const SIZE = 1024 * KiB;

/** Have the change of that number fail, and all after it; returns how to heal it, and whether it came so far. */
function failAt(image: Image, at: number, code: 'EIO' | 'ENOSPC'): { heal(): void; readonly failed: boolean } {
  const state = { left: at, failed: false };
  const before: [string, unknown][] = [];
  for (const name of ['write', 'writev', 'zero', 'truncate', 'flush'] as const) {
    const action = image[name] as ((...args: unknown[]) => unknown) | undefined;
    if (!action) continue;
    before.push([name, Object.getOwnPropertyDescriptor(image, name)?.value]);
    Object.assign(image, {
      [name](...args: unknown[]) {
        if (--state.left < 0) {
          state.failed = true;
          throw new BlockError('broken', { code });
        }
        return action.apply(image, args);
      },
    });
  }
  return {
    heal() {
      for (const [name, own] of before) {
        if (own === undefined) Reflect.deleteProperty(image, name);
        else Object.assign(image, { [name]: own });
      }
    },
    get failed() {
      return state.failed;
    },
  };
}

async function outcome(client: Client, id: string): Promise<string | undefined> {
  await client.event('JOB_STATUS_CHANGE', (data) => data.id === id && data.status === 'concluded');
  const jobs = await client.run<{ id: string; error?: string }[]>('query-jobs');
  await client.run('job-dismiss', { id });
  client.messages.length = 0;
  return jobs.find((job) => job.id === id)?.error;
}

/** What is wrong with the image of a node that nobody uses. */
async function damage({ service: { graph } }: Scene, name: string): Promise<number> {
  const result = await graph.find(name).image.check?.run({ repair: 'none', report: () => undefined });
  return (result?.corruptions ?? 1) + (result?.checkErrors ?? 1);
}

describe.each(['EIO', 'ENOSPC'] as const)('%s at every write', (code) => {
  test.each([
    ['plain', {}],
    ['with its metadata', { preallocation: 'metadata' }],
    ['encrypted', { encrypt: { format: 'luks', 'key-secret': 's', 'iter-time': 10 } }],
  ])('blockdev-create, %s', { timeout: 60_000 }, async (_, options) => {
    await using made = await scene();
    const { client, service } = made;
    await client.run('object-add', { 'qom-type': 'secret', id: 's', data: 'secret' });
    const filename = join(tempDir(), 'image');
    await createImage(service.graph, { driver: 'raw', fileName: filename, options: { size: 0 } });
    await client.run('blockdev-add', { driver: 'file', 'node-name': 'file', filename });
    const create = (id: string) =>
      client.run('blockdev-create', {
        'job-id': id,
        options: { driver: 'qcow2', file: 'file', size: SIZE, ...options },
      });
    const { image } = service.graph.find('file');
    let at = 0;
    for (; ; at++) {
      const fault = failAt(image, at, code);
      await create(`j${at}`);
      const error = await outcome(client, `j${at}`);
      fault.heal();
      if (!fault.failed) {
        expect(error).toBeUndefined();
        break;
      }
      expect(error, `change ${at}`).toBe('broken');
    }
    expect(at).toBeGreaterThan(3);
    const key = 'encrypt' in options ? { encrypt: { format: 'luks', 'key-secret': 's' } } : {};
    await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: 'file', ...key });
    expect(await damage(made, 'disk')).toBe(0);
  });

  test.each([
    ['refcount-bits', { 'refcount-bits': 64 }, { 'refcount-bits': 16 }],
    ['compat', { compat: '0.10' }, { compat: '1.1' }],
    ['size', { size: 4 * SIZE }, { size: SIZE }],
    ['lazy-refcounts', { 'lazy-refcounts': true }, { 'lazy-refcounts': false }],
  ])('x-blockdev-amend, %s', { timeout: 60_000 }, async (_, change, back) => {
    await using made = await scene();
    const { client, service } = made;
    const { graph } = service;
    const filename = join(tempDir(), 'image');
    await createImage(graph, { driver: 'qcow2', fileName: filename, options: { size: SIZE, cluster_size: 4096 } });
    const data = Buffer.alloc(SIZE);
    for (let at = 0; at < SIZE; at += 64 * KiB) data.fill(1 + at / (64 * KiB), at, at + 40 * KiB);
    const open = async (): Promise<Image> => {
      const file = { driver: 'file', filename, 'node-name': 'file' };
      await addNode(graph, { driver: 'qcow2', 'node-name': 'disk', file });
      return graph.find('file').image;
    };
    let image = await open();
    const user = async (action: (backend: Backend) => Promise<void>): Promise<void> => {
      const settings = { user: 'the user', permissions: operations.write.image };
      const backend = Backend.attach(graph, graph.find('disk'), settings);
      await action(backend);
      await backend.close();
    };
    await user(async (backend) => backend.write(0, data));
    const amend = (id: string, options: object) =>
      client.run('x-blockdev-amend', {
        'job-id': id,
        'node-name': 'disk',
        options: { driver: 'qcow2', ...options },
        force: true,
      });
    for (let at = 0; ; at++) {
      const fault = failAt(image, at, code);
      await amend(`j${at}`, change);
      const error = await outcome(client, `j${at}`);
      fault.heal();
      if (fault.failed) expect(error, `change ${at}`).toMatch(/broken/);
      else expect(error).toBeUndefined();
      const seen = Buffer.alloc(SIZE);
      await user(async (backend) => backend.read(0, seen));
      expect(Buffer.compare(seen, data), `change ${at}`).toBe(0);
      // What is on disk counts, and not what is in memory.
      await client.run('blockdev-del', { 'node-name': 'disk' });
      image = await open();
      expect(await damage(made, 'disk'), `change ${at}`).toBe(0);
      await user(async (backend) => backend.read(0, seen));
      expect(Buffer.compare(seen, data), `change ${at}`).toBe(0);
      if (!fault.failed) {
        expect(at).toBeGreaterThan(0);
        break;
      }
      // A change may have been made, and what failed came after it.
      await amend(`back${at}`, back);
      expect(await outcome(client, `back${at}`)).toBeUndefined();
    }
  });
});
