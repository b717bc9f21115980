/** Random requests, many at once, on random disks: what is read is what was written, and flushes are kept. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Flag } from '../../../../src/core/block/driver.ts';
import type { NodeIo } from '../../../../src/core/block/request/node-io.ts';
import { type MemoryDisk, type MemorySettings, turns } from '../../../support/memory-driver.ts';
import { inTime, ioOver } from './support.ts';

const sizes = fc.oneof(
  fc.integer({ min: 0, max: 20_000 }),
  fc.integer({ min: 0, max: 40 }).map((n) => n * 512),
);

const disks = fc.record({
  size: sizes,
  align: fc.constantFrom(1, 512, 4096),
  maxTransfer: fc.constantFrom(undefined, 4096, 5000, 8192),
  zeroAlignment: fc.constantFrom(undefined, 512, 4096),
  maxZero: fc.constantFrom(undefined, 4096, 8192),
  discardAlignment: fc.constantFrom(undefined, 512, 4096),
  has: fc.subarray(['readv', 'writev', 'zero', 'discard', 'truncate', 'status'] as const),
  fua: fc.constantFrom(0, Flag.FUA),
  zeroFua: fc.constantFrom(0, Flag.FUA | Flag.MAY_UNMAP),
  declines: fc.constantFrom(undefined, undefined, 'at once' as const, 'later' as const),
  detect: fc.constantFrom('off' as const, 'on' as const, 'unmap' as const),
  seed: fc.integer(),
});

const requests = fc.record({
  kind: fc.constantFrom('write', 'write', 'write', 'writev', 'zero', 'discard', 'read', 'readv', 'flush'),
  from: fc.double({ min: 0, max: 1, noNaN: true }),
  to: fc.double({ min: 0, max: 1, noNaN: true }),
  flags: fc.constantFrom(0, 0, Flag.FUA, Flag.MAY_UNMAP, Flag.UNCHANGED),
  byte: fc.integer({ min: 0, max: 255 }),
});
type Request = typeof requests extends fc.Arbitrary<infer T> ? T : never;

interface State {
  readonly io: NodeIo;
  readonly disk: MemoryDisk;
  readonly model: Buffer;
  /** The size at first: the last block grows with its sector's or block's writes. */
  readonly size: number;
}

/** Each request of a batch has a stretch of the disk to itself, though not the blocks at its ends. */
async function batch(state: State, list: readonly Request[]): Promise<void> {
  const { io, model, size } = state;
  const width = Math.floor(size / list.length);
  const before = Buffer.from(model);
  const settled = Buffer.from(model);
  const stretches: [number, number][] = [];
  const work = list.map(async (request, index) => {
    const [a, b] = [request.from, request.to].map((part) => index * width + Math.floor(part * width));
    const start = Math.min(a ?? 0, b ?? 0);
    const end = Math.max(a ?? 0, b ?? 0);
    if (request.kind !== 'flush' && !request.kind.startsWith('read')) stretches.push([start, end]);
    await one(state, request, { start, end, before });
  });
  await Promise.all(work);
  const now = Buffer.alloc(size, 0xee);
  await io.read(0, now);
  // A discarded byte is what it was, or zero.
  for (const [index, request] of list.entries()) {
    if (request.kind !== 'discard') continue;
    for (let at = index * width; at < (index + 1) * width; at++) if (now[at] === 0) model[at] = 0;
  }
  expect(now.equals(model.subarray(0, size))).toBe(true);
  if (list.some(({ kind }) => kind === 'flush')) {
    for (const [start, end] of stretches) settled.fill(0, start, end);
    const stable = Buffer.alloc(settled.length);
    state.disk.stable.copy(stable);
    for (const [start, end] of stretches) stable.fill(0, start, end);
    expect(stable.subarray(0, state.disk.settings.size).equals(settled.subarray(0, state.disk.settings.size))).toBe(
      true,
    );
  }
}

interface Place {
  readonly start: number;
  readonly end: number;
  readonly before: Buffer;
}

async function one({ io, disk, model }: State, request: Request, { start, end, before }: Place): Promise<void> {
  const { kind, byte, flags } = request;
  const length = end - start;
  if (kind === 'flush') return void (await io.flush());
  if (kind === 'discard') return void (await io.discard(start, length));
  if (kind === 'read' || kind === 'readv') {
    const buf = Buffer.alloc(length, 0xee);
    if (kind === 'read') await io.read(start, buf);
    else await io.readv(start, thirds(buf));
    expect(buf.equals(before.subarray(start, end))).toBe(true);
    return;
  }
  if (kind === 'zero') await io.zero(start, length, flags);
  else {
    const buf = Buffer.alloc(length, byte);
    if (kind === 'write') await io.write(start, buf, flags & Flag.FUA);
    else await io.writev(start, thirds(buf), flags & Flag.FUA);
  }
  model.fill(kind === 'zero' ? 0 : byte, start, end);
  if ((flags & Flag.FUA) !== 0) expect(disk.stable.subarray(start, end).equals(model.subarray(start, end))).toBe(true);
}

function thirds(buf: Buffer): Buffer[] {
  const third = Math.floor(buf.length / 3);
  return [buf.subarray(0, third), buf.subarray(third, 2 * third), buf.subarray(2 * third)];
}

function settingsOf(given: typeof disks extends fc.Arbitrary<infer T> ? T : never): MemorySettings {
  let state = given.seed | 1;
  const next = () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state >>> 16;
  };
  const { align, maxTransfer, zeroAlignment, maxZero, discardAlignment } = given;
  return {
    size: given.size,
    limits: {
      requestAlignment: align,
      ...(maxTransfer === undefined ? {} : { maxTransfer }),
      ...(zeroAlignment === undefined ? {} : { zeroAlignment: Math.max(zeroAlignment, align) }),
      ...(maxZero === undefined ? {} : { maxZero }),
      ...(discardAlignment === undefined ? {} : { discardAlignment: Math.max(discardAlignment, align) }),
    },
    has: given.has,
    writeFlags: given.fua,
    zeroFlags: given.zeroFua,
    ...(given.declines === undefined ? {} : { declinesZero: given.declines }),
    on: () => turns(next() % 4),
  };
}

test('any requests on any disk', { timeout: 60_000 }, async () => {
  const batches = fc.array(fc.array(requests, { minLength: 1, maxLength: 16 }), { minLength: 1, maxLength: 6 });
  const property = fc.asyncProperty(disks, batches, async (given, list) => {
    const { disk, io } = ioOver(settingsOf(given), { detectZeroes: given.detect });
    const state: State = { io, disk, model: Buffer.alloc(io.size), size: io.size };
    for (const each of list) await inTime(batch(state, each));
    expect(io.inFlight).toBe(0);
    expect(disk.faults).toEqual([]);
    await io.flush();
    expect(disk.stable.subarray(0, given.size).equals(state.model.subarray(0, given.size))).toBe(true);
  });
  await fc.assert(property, { numRuns: 1000 });
});
