import { expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { type NodeSpec, specFromFileName } from '../../../src/core/block/graph/spec.ts';
import { driverList } from '../../../src/drivers/index.ts';

async function open(spec: NodeSpec): Promise<Backend> {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  return Backend.open(graph, spec, { user: 'the test', permissions: operations.resize.image });
}

test('answers at once or in a later turn, by driver', async () => {
  for (const [driver, pending] of [
    ['null-co', false],
    ['null-aio', true],
  ] as const) {
    await using disk = await open({ driver, size: 8192, 'read-zeroes': true });
    const buf = Buffer.alloc(512, 1);
    for (const request of [
      () => disk.write(0, buf),
      () => disk.read(0, buf),
      () => disk.zero(0, 512),
      () => disk.flush(),
    ]) {
      const result = request();
      expect(result instanceof Promise).toBe(pending);
      await result;
    }
    expect(buf.every((byte) => byte === 0)).toBe(true);
  }
});

test('takes the time it is told to, below a millisecond too', async () => {
  for (const ns of [200_000, 3_000_000]) {
    await using disk = await open({ driver: 'null-co', 'latency-ns': ns });
    const start = performance.now();
    for (let count = 0; count < 5; count++) await disk.read(0, Buffer.alloc(512));
    expect(((performance.now() - start) / 5) * 1e6).toBeGreaterThanOrEqual(ns);
  }
});

test('keeps nothing, resizes, and is 1 GiB by default', async () => {
  await using disk = await open(specFromFileName(driverList, 'null-co://'));
  expect(disk.size).toBe(1 << 30);
  const buf = Buffer.alloc(512, 7);
  await disk.read(0, buf);
  expect(buf.every((byte) => byte === 7)).toBe(true);
  await disk.truncate(4096);
  expect(disk.size).toBe(4096);
  await expect(open(specFromFileName(driverList, 'null-co://host'))).rejects.toThrow("knows only 'null-co://'");
});
