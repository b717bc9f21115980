import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { addBitmap } from '../../../../src/core/block/bitmaps/verbs.ts';
import { openNode } from '../../../../src/core/block/graph/open.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import {
  snapshotApply,
  snapshotCreate,
  snapshotNode,
  snapshotRemove,
} from '../../../../src/core/block/graph/snapshot-operations.ts';
import type { NodeSpec } from '../../../../src/core/block/graph/spec.ts';
import { makeImage, openDisk, readDisk } from '../../../support/disk.ts';
import { tempDir } from '../../../support/temp.ts';

const MIB = 1 << 20;

async function open(wrap: (spec: NodeSpec) => NodeSpec = (spec) => spec): Promise<Backend> {
  const path = join(tempDir(), 'disk.qcow2');
  await makeImage('qcow2', path, { size: MIB });
  const file = { driver: 'file', filename: path };
  const disk = await openDisk(wrap({ driver: 'qcow2', 'node-name': 'disk', file }), { writable: true });
  onTestFinished(() => disk.close());
  return disk;
}

const filled = (value: number) => Buffer.alloc(MIB, value);

describe('snapshots of a node in use', () => {
  test('a snapshot holds all requests that were issued before it, and none after', async () => {
    const disk = await open();
    const writes = [disk.write(0, filled(1))];
    const made = snapshotCreate(disk.graph, disk.image, { name: 's' });
    writes.push(disk.write(0, filled(2)));
    await Promise.all([made, ...writes]);
    expect((await readDisk(disk)).equals(filled(2))).toBe(true);
    await snapshotApply(disk.graph, disk.image, 's');
    expect((await readDisk(disk)).equals(filled(1))).toBe(true);
  });

  test('going back tells the users of the new length', async () => {
    const disk = await open();
    await snapshotCreate(disk.graph, disk.image, { name: 's' });
    await disk.truncate(2 * MIB);
    let told = 0;
    const user = {
      kind: 'job' as const,
      describe: () => 'a user',
      resized: () => void told++,
    };
    const edge = disk.graph.attach(
      { parent: user, node: disk.image, name: 'user', role: 'filtered' },
      operations.read.image,
    );
    await snapshotApply(disk.graph, disk.image, { name: 's' });
    expect({ told, size: disk.size }).toEqual({ told: 1, size: MIB });
    await disk.graph.detach(edge);
  });

  test('below filters they are found, and a view is not taken for the disk', async () => {
    const disk = await open((file) => ({ driver: 'throttle', 'throttle-group': 'g', file })).catch(() =>
      open((file) => ({ driver: 'copy-on-read', file })),
    );
    await snapshotCreate(disk.graph, disk.image, { name: 's' });
    const view = await openNode(disk.graph, { driver: 'snapshot', snapshot: 's', file: 'disk', 'read-only': true });
    expect(snapshotNode(view)).toBeUndefined();
    await disk.graph.closeIfUnused(view);
    expect((await snapshotRemove(disk.graph, disk.image, 's')).name).toBe('s');
  });

  test('a user that wants the content to hold still keeps others from going back, not from making one', async () => {
    const disk = await open();
    await snapshotCreate(disk.graph, disk.image, { name: 's' });
    disk.setPermissions(operations.mirror.source);
    await snapshotCreate(disk.graph, disk.image, { name: 't' });
    await expect(snapshotApply(disk.graph, disk.image, 's')).rejects.toMatchObject({ code: 'EPERM' });
    await snapshotRemove(disk.graph, disk.image, 't');
  });

  test('bitmaps that record changes are in the way of going back', async () => {
    const disk = await open();
    await snapshotCreate(disk.graph, disk.image, { name: 's' });
    await addBitmap(disk.image, 'b');
    await expect(snapshotApply(disk.graph, disk.image, 's')).rejects.toMatchObject({ code: 'EBUSY' });
  });

  test('a format without snapshots says so in one line', async () => {
    const disk = await openDisk({ driver: 'null-co', size: MIB }, { writable: true });
    onTestFinished(() => disk.close());
    await expect(snapshotCreate(disk.graph, disk.image, { name: 's' })).rejects.toMatchObject({ code: 'ENOTSUP' });
  });

  test('a view is for reading, stays as it was, and keeps its snapshot', async () => {
    const disk = await open();
    await disk.write(0, filled(1));
    await snapshotCreate(disk.graph, disk.image, { name: 's' });
    const spec = { driver: 'snapshot', snapshot: 's', file: 'disk' };
    await expect(openNode(disk.graph, spec)).rejects.toMatchObject({ code: 'EACCES' });
    const node = await openNode(disk.graph, { ...spec, 'read-only': true });
    const view = Backend.attach(disk.graph, node, { user: 'a reader', permissions: operations.mirror.source });
    await disk.write(0, filled(2));
    await disk.discard(0, MIB);
    await snapshotApply(disk.graph, disk.image, 's');
    await disk.write(0, filled(3));
    expect((await readDisk(view)).equals(filled(1))).toBe(true);
    await expect(snapshotRemove(disk.graph, disk.image, 's')).rejects.toMatchObject({ code: 'EBUSY' });
    await view.close();
    await snapshotRemove(disk.graph, disk.image, 's');
    await expect(openNode(disk.graph, { ...spec, 'read-only': true })).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
