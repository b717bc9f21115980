/** Creation options: their conflicts in one line each, limits, and what `measure` says. */
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openNode } from '../../../src/core/block/graph/open.ts';
import { chainStatus } from '../../../src/core/block/graph/status.ts';
import { Perm } from '../../../src/core/block/permissions-bits.ts';
import { validate } from '../../../src/core/options/parse.ts';
import { createCapability } from '../../../src/drivers/qcow2/create.ts';
import { createOptions } from '../../../src/drivers/qcow2/create-options.ts';
import { peersFor, qemuImg, qemuImgJson, qemuIo } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';
import { createImage, newGraph } from './support/host-edge.ts';

const GiB = 2 ** 30;

const conflicts: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
  [{}, /needs a size/],
  [{ size: '1M', cluster_size: '3k' }, /cluster_size.*power of two between 512 and 2M, not 3072/],
  [{ size: '1M', cluster_size: '4M' }, /cluster_size.*between 512 and 2M/],
  [{ size: '1M', refcount_bits: 3 }, /refcount_bits.*power of two between 1 and 64, not 3/],
  [{ size: '1M', refcount_bits: 128 }, /refcount_bits.*not 128/],
  [{ size: '1M', preallocation: 'some' }, /preallocation.*'some'/],
  [{ size: '1M', compat: '0.9' }, /compat.*'0.9'/],
  [{ size: '1M', compat: '0.10', lazy_refcounts: 'on' }, /lazy_refcounts=on needs compat=1.1/],
  [{ size: '1M', compat: 'v2', refcount_bits: 8 }, /refcount_bits=8 needs compat=1.1/],
  [{ size: '1M', compat: 'v2', extended_l2: 'on' }, /extended_l2=on needs compat=1.1/],
  [{ size: '1M', compat: 'v2', compression_type: 'zstd' }, /compression_type=zstd needs compat=1.1/],
  [{ size: '1M', compat: 'v2', data_file: 'x' }, /data_file needs compat=1.1/],
  [{ size: '1M', data_file_raw: 'on' }, /data_file_raw=on needs data_file/],
  [{ size: '1M', data_file: 'x', data_file_raw: 'on', backing_file: 'y' }, /cannot be used together/],
  [{ size: '1M', backing_fmt: 'raw' }, /no meaning without backing_file/],
  [{ size: '1M', backing_file: 'y', preallocation: 'metadata' }, /only be used together with extended_l2/],
  [{ size: '1M', extended_l2: 'on', cluster_size: '8k' }, /at least 16384 bytes, not 8192/],
  [{ size: '1M', backing_file: 'x'.repeat(1024) }, /1024 bytes long, the limit is 1023/],
  [{ size: '1M', backing_file: 'x'.repeat(600), cluster_size: 512 }, /takes \d+ bytes, a cluster has 512/],
  [{ size: '1T', cluster_size: 512 }, /too large for clusters of 512 bytes/],
  [{ size: '8191T', cluster_size: '64k' }, /too large for clusters of 65536 bytes/],
  [{ size: '1M', encryption: 'on' }, /not encrypted as aes/],
  [{ size: '1M', encrypt: { format: 'luks' } }, /'encrypt.key-secret' is required/],
  [{ size: '1M', colour: 'red' }, /no option 'colour'/],
];

describe('creation refuses in one line', () => {
  test.each(conflicts)('%o', async (options, message) => {
    const path = join(tempDir(), 'new.qcow2');
    const error: unknown = await createImage(path, options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    const text = error instanceof Error ? error.message : '';
    expect(text).toMatch(message);
    expect(text).not.toMatch(/\n|\.$/);
    if (fs.existsSync(path)) expect(fs.statSync(path).size).toBe(0);
  });
});

describe.skipIf(peersFor('qemu-img', 'qemu-io').missing)('measure says what qemu-img says', () => {
  const variants: readonly Readonly<Record<string, string>>[] = [
    {},
    { cluster_size: '512' },
    { cluster_size: '2M' },
    { compat: '0.10' },
    { extended_l2: 'on' },
    { refcount_bits: '64', cluster_size: '4k' },
    { preallocation: 'full' },
    { preallocation: 'metadata' },
  ];

  test.each([0, 1, 65536, 5 * GiB, 2 ** 40, 100 * GiB + 12345])('of a size of %d bytes', async (size) => {
    for (const variant of variants) {
      const words = Object.entries(variant).map(([name, value]) => `${name}=${value}`);
      const extra = words.length === 0 ? [] : ['-o', words.join(',')];
      const theirs = await qemuImgJson(['measure', '-O', 'qcow2', ...extra, '--size', String(size)]).catch(
        () => 'refused',
      );
      const options = validate(createOptions, variant, 'qcow2');
      const ours = await createCapability.measure?.({ options, size }).catch(() => undefined);
      const named = ours && { required: ours.required, 'fully-allocated': ours.fullyAllocated };
      expect(named ?? 'refused').toEqual(theirs);
    }
  });

  test('of images', async () => {
    const folder = tempDir();
    const base = join(folder, 'base.qcow2');
    const top = join(folder, 'top.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', base, '20M']);
    await qemuIo(base, ['write 0 100k', 'write 5M 1k', 'write -z 6M 2M']);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top]);
    await qemuIo(top, ['write 50k 100k', 'write 10M 3M', 'write -z 5M 64k']);
    await qemuImg(['bitmap', '--add', '-g', '512', top, 'one']);
    await qemuImg(['bitmap', '--add', top, 'another']);
    for (const [path, driver] of [
      [base, 'qcow2'],
      [top, 'qcow2'],
      [base, 'raw'],
    ] as const) {
      for (const variant of variants) {
        const words = Object.entries(variant).map(([name, value]) => `${name}=${value}`);
        const extra = words.length === 0 ? [] : ['-o', words.join(',')];
        const theirs = await qemuImgJson(['measure', '-O', 'qcow2', ...extra, '-f', driver, path]);
        expect(await measureFile(path, driver, variant)).toEqual(theirs);
      }
    }
  });
});

async function measureFile(path: string, driver: string, variant: Readonly<Record<string, string>>): Promise<unknown> {
  const graph = newGraph();
  const spec = { driver, file: { driver: 'file', filename: path } };
  const node = await openNode(graph, spec, { modes: { readOnly: true } });
  const parent = { kind: 'backend' as const, describe: () => 'a test' };
  const source = graph.attach(
    { parent, node, name: 'root', role: 'filtered' },
    { perm: Perm.CONSISTENT_READ, shared: Perm.ALL },
  );
  try {
    const found = await createCapability.measure?.({
      options: validate(createOptions, variant, 'qcow2'),
      source,
      sourceStatus: (offset, length) => chainStatus(node, undefined, { offset, length }),
    });
    const { required, fullyAllocated, bitmaps } = found ?? {};
    return { required, 'fully-allocated': fullyAllocated, ...(bitmaps === undefined ? {} : { bitmaps }) };
  } finally {
    await graph.detach(source);
  }
}
