/** The replay engine on a disk whose requests end when the test says so. */
import { describe, expect, test } from 'vitest';
import { OffsetMap } from '../../../src/core/trace/offset-map.ts';
import type { TraceRequest } from '../../../src/core/trace/record.ts';
import { type ReplayOptions, type ReplayTarget, replay } from '../../../src/core/trace/replay.ts';
import { Verifier } from '../../../src/core/trace/verifier.ts';
import { request } from './sample-trace.ts';

class SlowDisk implements ReplayTarget {
  size = 1 << 20;
  readonly log: string[] = [];
  readonly pending = new Map<string, (error?: Error) => void>();

  #wait(name: string): Promise<void> {
    this.log.push(name);
    return new Promise((resolve, reject) => {
      this.pending.set(name, (error) => (error ? reject(error) : resolve()));
    });
  }

  read = (offset: number) => this.#wait(`read ${offset}`);
  write = (offset: number) => this.#wait(`write ${offset}`);
  zero = (offset: number) => this.#wait(`zero ${offset}`);
  discard = (offset: number) => this.#wait(`discard ${offset}`);
  flush = () => this.#wait('flush');
  truncate = async (size: number) => {
    await this.#wait(`truncate ${size}`);
    this.size = size;
  };

  async end(name: string, error?: Error): Promise<void> {
    this.pending.get(name)?.(error);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function* once(requests: readonly TraceRequest[]): AsyncGenerator<readonly TraceRequest[]> {
  yield requests;
}

function begin(target: ReplayTarget, requests: readonly TraceRequest[], more: Partial<ReplayOptions> = {}) {
  return replay({
    target,
    requests: once(requests.map((each, number) => ({ ...each, number }))),
    pace: { mode: 'asap' },
    depth: () => 100,
    seed: 0,
    map: OffsetMap.parse([], ''),
    ...more,
  });
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('asap', () => {
  test('keeps the overlap of the recording, and waits for what had ended before', async () => {
    const disk = new SlowDisk();
    const done = begin(disk, [
      request({ offset: 0, start: 0, end: 100 }),
      request({ offset: 4096, start: 10, end: 500 }),
      request({ offset: 8192, start: 150, end: 200 }),
      request({ offset: 12288, start: 600, end: 700 }),
    ]);
    await settle();
    expect(disk.log).toEqual(['read 0', 'read 4096']);
    await disk.end('read 0');
    expect(disk.log).toEqual(['read 0', 'read 4096', 'read 8192']);
    await disk.end('read 8192');
    expect(disk.log).toHaveLength(3);
    await disk.end('read 4096');
    expect(disk.log[3]).toBe('read 12288');
    await disk.end('read 12288');
    expect((await done).measured.total.replayed.count).toBe(4);
  });

  test('keeps the order of requests on the same bytes, when one changes them', async () => {
    const disk = new SlowDisk();
    const overlapping = { start: 0, end: 1000 };
    const done = begin(disk, [
      request({ op: 'write', offset: 0, length: 1024, ...overlapping }),
      request({ op: 'write', offset: 512, length: 1024, ...overlapping }),
      request({ op: 'read', offset: 2048, ...overlapping }),
    ]);
    await settle();
    expect(disk.log).toEqual(['write 0']);
    await disk.end('write 0');
    expect(disk.log).toEqual(['write 0', 'write 512', 'read 2048']);
    await disk.end('write 512');
    await disk.end('read 2048');
    await done;
  });

  test('has no more under way than the depth', async () => {
    const disk = new SlowDisk();
    const done = begin(
      disk,
      [0, 1, 2].map((index) => request({ offset: index * 4096, end: undefined })),
      { depth: () => 2 },
    );
    await settle();
    expect(disk.log).toHaveLength(2);
    for (const name of ['read 0', 'read 4096', 'read 8192']) await disk.end(name);
    await done;
  });
});

test('at the recorded times, faster or slower', async () => {
  const at: number[] = [];
  const zero = performance.now();
  const target: ReplayTarget = { ...new SlowDisk(), read: () => void at.push(performance.now() - zero) };
  const requests = [0, 40e6, 80e6].map((start) => request({ start, end: start + 10 }));
  await begin(target, requests, { pace: { mode: 'timed', speed: 2 } });
  const [, second = 0, third = 0] = at;
  // Any of them may come late.
  expect(second).toBeGreaterThanOrEqual(19);
  expect(third).toBeGreaterThanOrEqual(39);
});

test('counts errors that the recording did not have, and says which', async () => {
  const disk = new SlowDisk();
  const lines: string[] = [];
  const done = begin(disk, [request({ offset: 0 }), request({ offset: 4096, result: 5 })], {
    onError: (line) => void lines.push(line),
  });
  await settle();
  await disk.end('read 0', new Error('broken'));
  await disk.end('read 4096', new Error('broken'));
  const { newErrors, measured } = await done;
  expect(newErrors).toBe(1);
  expect(measured.total.replayed.errors).toBe(2);
  expect(lines).toEqual(['record 0, a read of 512 bytes at 0: broken']);
});

test('verifies what is read against the last write of the replay', async () => {
  const disk = Buffer.alloc(1 << 20, 0xee);
  const lines: string[] = [];
  const verifier = new Verifier(0, (line) => void lines.push(line));
  const target: ReplayTarget = {
    size: disk.length,
    read: (offset, buf) => void buf.set(disk.subarray(offset, offset + buf.length)),
    write: (offset, buf) => void disk.set(buf, offset === 8192 ? offset + 512 : offset),
    zero: (offset, length) => void disk.fill(0, offset, offset + length),
    discard: () => undefined,
    flush: () => undefined,
    truncate: async () => undefined,
  };
  const write = { op: 'write', length: 4096 } as const;
  await begin(
    target,
    [
      request({ ...write, offset: 0 }),
      request({ op: 'zero', offset: 1024, length: 512 }),
      request({ op: 'discard', offset: 2048, length: 512 }),
      request({ op: 'read', offset: 0, length: 6144 }),
      request({ ...write, offset: 8192 }),
      request({ op: 'read', offset: 8192, length: 512 }),
    ],
    { verifier },
  );
  expect(lines).toEqual(['record 5, a read of 512 bytes at 8192: byte 8192 is not the content of write 1']);
  expect(verifier.result).toEqual({ bytes: 1024 + 512 + 512 + 1536 + 512, mismatches: 1, partial: false });
});

test('refuses what no memory is to be taken for', async () => {
  const target: ReplayTarget = { ...new SlowDisk(), size: 2 ** 50 };
  await expect(begin(target, [request({ length: 2 ** 40 })])).rejects.toThrow(
    'record 0, a read of 1099511627776 bytes at 0 is longer than the limit of 268435456 bytes',
  );
});

test('what follows a truncate has its place in the disk as that leaves it', async () => {
  const disk = new SlowDisk();
  const done = begin(disk, [
    request({ op: 'truncate', length: 2 << 20, start: 0, end: 100 }),
    request({ offset: (2 << 20) - 512, start: 50, end: 200 }),
  ]);
  await settle();
  expect(disk.log).toEqual([`truncate ${2 << 20}`]);
  await disk.end(`truncate ${2 << 20}`);
  expect(disk.log[1]).toBe(`read ${(2 << 20) - 512}`);
  await disk.end(`read ${(2 << 20) - 512}`);
  expect((await done).newErrors).toBe(0);
});
