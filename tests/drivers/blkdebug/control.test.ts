/** Breakpoints and labels of blkdebug. */
import { describe, expect, test } from 'vitest';
import { openDebug, outcome, SIZE, settled } from './support.ts';

const K = 1024;
const buf = () => Buffer.alloc(4 * K, 1);

describe('breakpoints', () => {
  test('suspend the next request that comes to the event, once', async () => {
    const { disk, breakpoints } = await openDebug();
    const news: string[] = [];
    breakpoints.listen((what, tag) => void news.push(`${what} ${tag}`));
    breakpoints.set('pwritev', 'A');
    const first = Promise.resolve(disk.write(0, buf()));
    await breakpoints.wait('A');
    expect(breakpoints.isSuspended('A')).toBe(true);
    await disk.write(8 * K, buf());
    expect(await settled(first)).toBe(false);
    breakpoints.resume('A');
    await first;
    expect(news).toEqual(['suspended A', 'resumed A']);
    expect(() => breakpoints.resume('A')).toThrow("no request is suspended at breakpoint 'A'");
  });

  test('with one tag are resumed the last first, or all by removing it', async () => {
    const { disk, breakpoints } = await openDebug();
    const writes: Promise<void>[] = [];
    for (let at = 0; at < 3; at++) {
      breakpoints.set('pwritev_done', 'A');
      writes.push(Promise.resolve(disk.write(at * 4 * K, buf())));
      while (breakpoints.suspended().length <= at) await new Promise((resolve) => setImmediate(resolve));
    }
    breakpoints.resume('A');
    expect(await Promise.all(writes.map(settled))).toEqual([false, false, true]);
    breakpoints.set('pwritev', 'A');
    breakpoints.remove('A');
    await Promise.all(writes);
    await disk.write(0, buf());
    expect(() => breakpoints.remove('A')).toThrow("there is no breakpoint 'A'");
    expect(() => breakpoints.set('nonsense', 'A')).toThrow("there is no event 'nonsense'");
  });

  test('two at one event hold a request until both are resumed', async () => {
    const { disk, breakpoints } = await openDebug();
    breakpoints.set('pwritev_zero', 'A');
    breakpoints.set('pwritev_zero', 'B');
    const zero = Promise.resolve(disk.zero(0, 4 * K));
    await breakpoints.wait('B');
    breakpoints.resume('A');
    expect(await settled(zero)).toBe(false);
    breakpoints.resume('B');
    await zero;
  });

  test('name the steps of a read-modify-write', async () => {
    const { disk, breakpoints } = await openDebug({ align: 4 * K });
    const steps = ['rmw_head', 'rmw_after_head', 'rmw_tail', 'rmw_after_tail'] as const;
    const seen: string[] = [];
    breakpoints.listen((what, tag) => void (what === 'suspended' && seen.push(tag)));
    for (const step of steps) breakpoints.set(`pwritev_${step}`, step);
    breakpoints.set('pwritev', 'write');
    const write = Promise.resolve(disk.write(100, Buffer.alloc(20 * K)));
    for (const step of [...steps, 'write']) {
      await breakpoints.wait(step);
      breakpoints.resume(step);
    }
    await write;
    expect(seen).toEqual([...steps, 'write']);
  });
});

describe('labels', () => {
  test('are taken by the first request that fits', async () => {
    const { disk, labels } = await openDebug();
    labels.arm('w', { kind: 'write', offset: 64 * K, length: 4 * K, skip: 1 });
    expect(labels.state('w')).toBe('armed');
    await disk.write(0, buf());
    await disk.read(64 * K, buf());
    await disk.write(66 * K, buf());
    expect(labels.state('w')).toBe('armed');
    await disk.write(62 * K, buf());
    expect(labels.list()).toEqual([{ name: 'w', state: 'done' }]);
    await labels.wait('w', 'done');
  });

  test('are taken only after an event when they name one', async () => {
    const { disk, labels } = await openDebug({}, (file) => ({ driver: 'raw', file }));
    labels.arm('r', { event: 'write_aio', kind: 'read' });
    await disk.read(0, buf());
    expect(labels.state('r')).toBe('armed');
    await disk.write(0, buf());
    await disk.read(0, buf());
    expect(labels.state('r')).toBe('done');
  });

  test('hold a request where it arrives; nothing has reached the image', async () => {
    const { disk, memory, labels } = await openDebug();
    const news: string[] = [];
    labels.listen((what, name) => void news.push(`${what} ${name}`));
    labels.hold('w');
    expect(labels.state('w')).toBe('expected');
    labels.arm('w', { kind: 'write' });
    const write = Promise.resolve(disk.write(0, buf()));
    await labels.wait('w', 'arrived');
    expect([labels.state('w'), memory.counts.write]).toEqual(['held', 0]);
    expect(() => labels.arm('w')).toThrow("label 'w' is in use by a request that has not completed");
    labels.release('w');
    await labels.wait('w', 'done');
    await write;
    expect([memory.counts.write, news]).toEqual([1, ['held w', 'released w']]);
    expect(() => labels.release('w')).toThrow("request 'w' is not held");
  });

  test('hold a request whose work is done, and can make it fail all the same', async () => {
    const { disk, memory, labels } = await openDebug();
    labels.arm('w', { kind: 'write' });
    labels.hold('w', 'completion');
    const write = outcome(() => disk.write(0, buf()));
    await labels.wait('w', 'arrived');
    while (labels.state('w') !== 'held') await new Promise((resolve) => setImmediate(resolve));
    expect(memory.data[0]).toBe(1);
    labels.fail('w', 'ENOSPC');
    expect(await write).toBe('ENOSPC');
  });

  test('fail exactly one request, before it comes or while it is held', async () => {
    const { disk, memory, labels } = await openDebug();
    labels.fail('a', 'EIO');
    labels.arm('a', { kind: 'write', offset: 0 });
    labels.hold('b');
    labels.arm('b', { kind: 'write', offset: 4 * K });
    const b = outcome(() => disk.write(4 * K, buf()));
    expect(await outcome(() => disk.write(0, buf()))).toBe('EIO');
    await labels.wait('b', 'arrived');
    labels.fail('b', 'ENOSPC');
    expect([await b, memory.counts.write]).toEqual(['ENOSPC', 0]);
    expect(await outcome(() => disk.write(0, buf()))).toBe('ok');
  });

  test('can be given as options, held from the start, and for every request', async () => {
    const { disk, labels } = await openDebug({
      label: [
        { name: 'one', iotype: 'flush', hold: 'arrival' },
        { name: 'each', iotype: 'write', once: false },
      ],
    });
    await disk.write(0, buf());
    expect(labels.state('each')).toBe('armed');
    const flush = Promise.resolve(disk.flush());
    await labels.wait('one', 'arrived');
    expect(await settled(flush)).toBe(false);
    labels.release('one');
    await flush;
  });

  test('that are unknown cannot be waited for or released; waiting ends when all is let go', async () => {
    const { disk, labels, breakpoints } = await openDebug();
    await expect(labels.wait('x', 'done')).rejects.toThrow("there is no label 'x'");
    expect(() => labels.release('x')).toThrow("there is no label 'x'");
    labels.arm('x');
    labels.hold('y');
    labels.arm('y', { kind: 'write' });
    labels.disarm('x');
    expect(labels.state('x')).toBeUndefined();
    labels.arm('x', { kind: 'read' });
    const nobody = labels.wait('x', 'done');
    const write = Promise.resolve(disk.write(0, Buffer.alloc(SIZE)));
    await labels.wait('y', 'arrived');
    labels.letGo();
    breakpoints.letGo();
    await write;
    await expect(nobody).rejects.toThrow("no request labelled 'x' came");
  });
});
