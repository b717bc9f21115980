import { describe, expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { cacheMode, cacheModeNames } from '../../../../src/core/block/backend/cache-mode.ts';
import { whileDrained } from '../../../../src/core/block/graph/drain.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { MemoryDisk, type MemorySettings, memoryEntry } from '../../../support/memory-driver.ts';
import { Spy } from '../../../support/spy-driver.ts';
import { testGraph } from '../graph/support.ts';

interface Setup {
  readonly permissions?: { readonly perm: number; readonly shared: number };
  readonly writethrough?: boolean;
}

async function over(settings: Partial<MemorySettings>, setup: Setup = {}) {
  const disk = new MemoryDisk({ size: 8192, ...settings });
  const spy = new Spy();
  const graph = testGraph({ drivers: [memoryEntry(new Map([['d', disk]])), spy.entry()] });
  const spec = { driver: 'spy', file: { driver: 'memory', disk: 'd' } };
  const backend = await Backend.open(graph, spec, { user: 'the test', permissions: operations.resize.image, ...setup });
  return { disk, spy, graph, backend };
}

describe('a backend', () => {
  test('refuses what lies outside of the disk, and what is no number', async () => {
    const { backend, disk } = await over({});
    const buf = Buffer.alloc(512);
    for (const offset of [-1, 8192, 7681, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const request of [
        () => backend.read(offset, buf),
        () => backend.readv(offset, [buf]),
        () => backend.write(offset, buf),
        () => backend.writev(offset, [buf]),
        () => backend.zero(offset, 512),
        () => backend.discard(offset, 512),
        () => backend.writeCompressed(offset, buf),
      ]) {
        expect(request).toThrow(/^request of 512 bytes at .* is outside the disk of 8192 bytes$/);
      }
    }
    expect([disk.counts.read, disk.counts.write]).toEqual([0, 0]);
    await backend.close();
  });

  test('does only what it has taken the permission for', async () => {
    const { backend } = await over({}, { permissions: operations.read.image });
    const buf = Buffer.alloc(512);
    backend.read(0, buf);
    for (const request of [() => backend.write(0, buf), () => backend.zero(0, 512), () => backend.discard(0, 512)]) {
      expect(request).toThrow('the test has no write permission on node');
    }
    await expect(backend.truncate(0)).rejects.toThrow('no resize permission');
    await backend.close();
  });

  test('writes through when it is told to', async () => {
    const { backend, disk } = await over({}, { writethrough: true });
    await backend.write(0, Buffer.alloc(512, 3));
    expect([disk.stable[0], disk.counts.flush]).toEqual([3, 1]);
    await backend.zero(0, 512);
    expect([disk.stable[0], disk.counts.flush]).toEqual([0, 2]);
    await backend.close();
    expect(disk.counts.flush).toBe(2);
  });

  test('flushes at its end, after its writes, and gives everything back even when that fails', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { backend, disk, graph, spy } = await over({ on: (operation) => (operation === 'write' ? gate : undefined) });
    const writing = backend.write(0, Buffer.alloc(512, 5));
    const closing = backend.close();
    release();
    await Promise.all([writing, closing]);
    expect([disk.stable[0], graph.nodes.size]).toEqual([5, 0]);
    expect(spy.lines('flush', 'close')).toEqual(['flush 0+0', 'close 0+0']);

    const failing = await over({
      on: (operation) => {
        if (operation === 'flush') throw new Error('no room');
      },
    });
    await failing.backend.write(0, Buffer.alloc(512));
    await expect(failing.backend.close()).rejects.toThrow('no room');
    expect(failing.graph.nodes.size).toBe(0);
    await expect(failing.backend.close()).rejects.toThrow('no room');
  });

  test('holds every kind of request back while it is drained', async () => {
    const { backend, spy } = await over({});
    const buf = Buffer.alloc(512);
    let work: Promise<unknown> = Promise.resolve();
    await whileDrained(
      () => [backend.image],
      async () => {
        work = Promise.all([
          backend.read(0, buf),
          backend.readv(0, [buf, buf]),
          backend.write(0, buf),
          backend.writev(0, [buf, buf]),
          backend.zero(0, 512),
          backend.discard(0, 512),
          backend.truncate(4096),
          backend.copyRangeTo(0, backend, 512, 512),
        ]);
        await new Promise((resolve) => setImmediate(resolve));
        expect(spy.lines()).toEqual(['open 0+0']);
      },
    );
    await work;
    expect(spy.log.length).toBeGreaterThan(6);
    await backend.close();
  });

  test('tells of growth', async () => {
    const { backend } = await over({});
    await backend.truncate(16384);
    expect(backend.size).toBe(16384);
    await backend.close();
  });

  test('flushes through a filter that has no flush of its own', async () => {
    const disk = new MemoryDisk({ size: 4096 });
    const spy = new Spy({ noFlush: true });
    const graph = testGraph({ drivers: [memoryEntry(new Map([['d', disk]])), spy.entry()] });
    const backend = await Backend.open(
      graph,
      { driver: 'spy', file: { driver: 'memory', disk: 'd' } },
      {
        user: 'the test',
        permissions: operations.write.image,
      },
    );
    await backend.write(0, Buffer.alloc(512, 1));
    await backend.flush();
    await backend.flush();
    expect([disk.stable[0], disk.counts.flush]).toEqual([1, 1]);
    // What a driver writes below by itself is flushed too, though nothing came from above.
    await backend.image.child('file')?.write(0, Buffer.alloc(512, 2));
    await backend.flush();
    expect([disk.stable[0], disk.counts.flush]).toEqual([2, 2]);
    await backend.close();
  });
});

test('cache modes', () => {
  const table = Object.fromEntries(
    cacheModeNames.map((name) => [name, Object.values(cacheMode(name)).map(Number).join('')]),
  );
  expect(table).toEqual({ none: '100', writeback: '000', writethrough: '001', directsync: '101', unsafe: '010' });
  for (const word of ['', 'no', 'toString', '__proto__']) expect(() => cacheMode(word)).toThrow('is not a cache mode');
});
