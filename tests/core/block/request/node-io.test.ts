import { describe, expect, test } from 'vitest';
import { Flag } from '../../../../src/core/block/driver.ts';
import { NotSupported } from '../../../../src/core/errors/block-error.ts';
import { type MemoryOperation, turns } from '../../../support/memory-driver.ts';
import { inTime, ioOver } from './support.ts';

/** A gate per operation: what passes through it waits until it is opened. */
function gates(...closed: MemoryOperation[]) {
  const waiting: (() => void)[] = [];
  let shut = true;
  return {
    on: (operation: MemoryOperation) =>
      shut && closed.includes(operation) ? new Promise<void>((resolve) => waiting.push(resolve)) : undefined,
    open() {
      shut = false;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

describe('flush', () => {
  test('is skipped when nothing was written since, and not otherwise', async () => {
    const { io, disk } = ioOver({ size: 8192 });
    await io.flush();
    expect(disk.counts.flush).toBe(0);
    for (const change of [
      () => io.write(0, Buffer.alloc(512)),
      () => io.zero(0, 512),
      () => io.discard(0, 512),
      () => io.truncate(8192, {}),
    ]) {
      const before = disk.counts.flush;
      await change();
      await io.flush();
      await io.flush();
      expect(disk.counts.flush).toBe(before + 1);
    }
  });

  test('that failed is tried again', async () => {
    let fails = true;
    const { io, disk } = ioOver({
      size: 4096,
      on: (operation) => {
        if (operation === 'flush' && fails) throw new Error('no');
      },
    });
    io.write(0, Buffer.alloc(512, 1));
    expect(() => io.flush()).toThrow('no');
    fails = false;
    await io.flush();
    expect(disk.stable[0]).toBe(1);
    expect(io.inFlight).toBe(0);
  });

  test('begun while a write is under way does not count for it', async () => {
    const gate = gates('write');
    const { io, disk } = ioOver({ size: 4096, on: gate.on });
    const writing = io.write(0, Buffer.alloc(512, 1));
    await io.flush();
    gate.open();
    await writing;
    await io.flush();
    expect(disk.stable[0]).toBe(1);
  });

  test('of a write that failed half-way is not skipped', async () => {
    let writes = 0;
    const { io, disk } = ioOver({
      size: 8192,
      limits: { maxTransfer: 512 },
      on: (operation) => {
        if (operation === 'write' && ++writes === 2) throw new Error('full');
      },
    });
    expect(() => io.write(0, Buffer.alloc(1024, 1))).toThrow('full');
    await io.flush();
    expect([disk.counts.flush, disk.stable[0]]).toEqual([1, 1]);
  });

  test('is left out with cache.no-flush', async () => {
    const { io, disk } = ioOver({ size: 4096 }, { noFlush: true });
    await io.write(0, Buffer.alloc(512), Flag.FUA);
    await io.flush();
    await io.flushAll();
    expect(disk.counts.flush).toBe(0);
  });
});

describe('forced unit access', () => {
  test('is one flush after all pieces where the driver does not know it', async () => {
    const { io, disk } = ioOver({ size: 8192, limits: { maxTransfer: 512 } });
    await io.write(0, Buffer.alloc(2048, 1), Flag.FUA);
    expect([disk.counts.write, disk.counts.flush]).toEqual([4, 1]);
    await io.zero(0, 1024, Flag.FUA);
    expect(disk.counts.flush).toBe(2);
    expect(disk.stable[0]).toBe(0);
  });

  test('is the driver’s where it knows it', async () => {
    const { io, disk } = ioOver({ size: 8192, writeFlags: Flag.FUA, zeroFlags: Flag.FUA });
    await io.write(0, Buffer.alloc(512, 1), Flag.FUA);
    await io.zero(512, 512, Flag.FUA);
    expect([disk.counts.flush, disk.stable[0], disk.faults]).toEqual([0, 1, []]);
  });
});

describe('zeroing', () => {
  test.each(['at once', 'later'] as const)('is writing where the driver declines %s', async (declinesZero) => {
    const { io, disk } = ioOver(
      { size: 8192, declinesZero, limits: { zeroAlignment: 4096 } },
      { detectZeroes: 'unmap' },
    );
    disk.data.fill(9);
    await inTime((async () => io.zero(512, 7000))());
    expect(disk.data.subarray(512, 7512).every((byte) => byte === 0)).toBe(true);
    expect(disk.data[511]).toBe(9);
    expect(disk.data[7512]).toBe(9);
  });

  test('hands over parts of a unit apart, when the driver takes them', async () => {
    const limits = { zeroAlignment: 4096, discardAlignment: 4096, requestAlignment: 512 };
    for (const takesParts of [true, false]) {
      const { io, disk } = ioOver({ size: 16384, limits: { ...limits, takesParts } });
      disk.data.fill(9);
      await io.zero(3584, 9216);
      expect([disk.counts.zero, disk.counts.write]).toEqual(takesParts ? [3, 0] : [1, 2]);
      await io.discard(3500, 9300);
      expect(disk.counts.discard).toBe(takesParts ? 3 : 1);
    }
  });

  test('without a fallback leaves parts of a unit to a driver that takes them, before the units', async () => {
    const limits = { zeroAlignment: 4096, takesParts: true };
    const taking = ioOver({ size: 16384, limits });
    taking.disk.data.fill(9);
    await taking.io.zero(512, 8192, Flag.NO_FALLBACK);
    expect([taking.disk.counts.zero, taking.disk.counts.write]).toEqual([3, 0]);
    expect(taking.disk.data.subarray(512, 8704).every((byte) => byte === 0)).toBe(true);
    const asked: number[] = [];
    const declining = ioOver({
      size: 16384,
      limits,
      on: (operation, offset, length) => {
        if (operation === 'zero') asked.push(offset);
        if (length < 4096) throw new NotSupported('less than a unit');
      },
    });
    await expect(async () => declining.io.zero(0, 8704, Flag.NO_FALLBACK)).rejects.toThrow('without writing');
    expect(asked).toEqual([8192]);
  });

  test('without a fallback fails before anything is changed', async () => {
    const whole = ioOver({ size: 16384, limits: { zeroAlignment: 4096 } });
    whole.disk.data.fill(9);
    for (const [offset, length] of [
      [512, 8192],
      [0, 4608],
      [1, 1],
    ] as const) {
      await expect(async () => whole.io.zero(offset, length, Flag.NO_FALLBACK)).rejects.toThrow('without writing');
    }
    expect(whole.disk.data.every((byte) => byte === 9)).toBe(true);
    await whole.io.zero(4096, 4096, Flag.NO_FALLBACK);
    const none = ioOver({ size: 4096, has: [] });
    await expect(async () => none.io.zero(0, 512, Flag.NO_FALLBACK)).rejects.toThrow('without writing');
  });

  test.each([{ has: [] as const }, { has: ['zero'] as const }])(
    'unaligned beside an unaligned write waits for nobody that waits for it, with $has',
    async ({ has }) => {
      const { io, disk } = ioOver({ size: 16384, limits: { requestAlignment: 512 }, has, on: () => turns(2) });
      const work = [
        io.zero(100, 3000),
        io.write(50, Buffer.alloc(40, 1)),
        io.zero(3100, 100),
        io.write(2000, Buffer.alloc(512, 2)),
      ];
      await inTime(Promise.all(work));
      expect([disk.data[50], disk.data[99], disk.data[3199], io.inFlight]).toEqual([1, 0, 0, 0]);
      expect(disk.faults).toEqual([]);
    },
  );

  test('unmaps only where that is allowed', async () => {
    for (const unmap of [false, true]) {
      const seen: number[] = [];
      const { io, disk } = ioOver({ size: 4096, zeroFlags: Flag.MAY_UNMAP }, { unmap });
      const zero = disk.image.zero;
      Object.assign(disk.image, {
        zero: (offset: number, length: number, flags: number) => {
          seen.push(flags);
          return zero?.(offset, length, flags);
        },
      });
      await io.zero(0, 4096, Flag.MAY_UNMAP);
      expect(seen).toEqual([unmap ? Flag.MAY_UNMAP : 0]);
    }
  });
});

describe('requests in flight', () => {
  test('of several parts are one, from beginning to end', async () => {
    const { io } = ioOver({ size: 65536, limits: { maxTransfer: 512, requestAlignment: 512 }, on: () => turns(1) });
    for (const start of [
      () => io.read(0, Buffer.alloc(8192)),
      () => io.readv(10, [Buffer.alloc(5000), Buffer.alloc(100)]),
      () => io.write(10, Buffer.alloc(5000)),
      () => io.zero(10, 5000),
      () => io.discard(0, 8192),
      () => io.status(0, 8192, true),
    ]) {
      let done = false;
      const work = Promise.resolve(start() as Promise<unknown>).then(() => {
        done = true;
      });
      expect(io.inFlight).toBe(1);
      await io.whenIdle();
      await Promise.resolve();
      expect([done, io.inFlight]).toEqual([true, 0]);
      await work;
    }
  });

  test('are not miscounted when a driver throws at once', async () => {
    const { io } = ioOver({
      size: 8192,
      limits: { requestAlignment: 512 },
      on: () => {
        throw new Error('broken');
      },
    });
    for (const start of [
      () => io.read(0, Buffer.alloc(512)),
      () => io.read(1, Buffer.alloc(5)),
      () => io.write(0, Buffer.alloc(512)),
      () => io.write(1, Buffer.alloc(5)),
      () => io.zero(0, 512),
      () => io.zero(1, 5),
      () => io.discard(0, 512),
      () => io.flush(),
      () => io.truncate(0, {}),
      () => io.status(0, 512, true),
    ]) {
      await expect(async () => start()).rejects.toThrow('broken');
      expect([io.inFlight, io.tracker.hasSerialising]).toEqual([0, false]);
    }
    await io.whenIdle();
  });

  test('overlapping read-modify-writes run one after the other, in the order they came', async () => {
    const gate = gates('read');
    const { io, disk } = ioOver({ size: 4096, limits: { requestAlignment: 4096 }, on: gate.on });
    const work = Array.from({ length: 16 }, (_, index) => io.write(index * 100, Buffer.alloc(150, index + 1)));
    await settled();
    expect([disk.counts.read, disk.counts.write]).toEqual([1, 0]);
    gate.open();
    await inTime(Promise.all(work));
    expect(disk.counts.write).toBe(16);
    for (let index = 0; index < 16; index++) expect(disk.data[index * 100 + 50]).toBe(index + 1);
  });
});

describe('what there is at the end', () => {
  test.each([1, 512, 4096])('of a disk of 5000 bytes with alignment %i', async (align) => {
    const { io, disk } = ioOver({ size: 5000, limits: { requestAlignment: align } });
    disk.data.fill(7, 0, 5000);
    expect(io.size).toBe(5120);
    const buf = Buffer.alloc(5120, 0xee);
    await io.read(0, buf);
    expect(buf.subarray(0, 5000).every((byte) => byte === 7)).toBe(true);
    expect(buf.subarray(5000).every((byte) => byte === 0)).toBe(true);
    const parts = [Buffer.alloc(10, 0xee), Buffer.alloc(110, 0xee), Buffer.alloc(30, 0xee)];
    await io.readv(4970, parts);
    expect(Buffer.concat(parts)).toEqual(Buffer.concat([Buffer.alloc(30, 7), Buffer.alloc(120)]));
    const past = Buffer.alloc(100, 0xee);
    await io.read(10_000, past);
    expect(past.every((byte) => byte === 0)).toBe(true);
    expect(disk.faults).toEqual([]);
  });

  test('growing hides what a longer backing file has there', async () => {
    const seen: unknown[] = [];
    const { disk } = ioOver({ size: 512 });
    Object.assign(disk.image, { truncate: async (_size: number, options: unknown) => void seen.push(options) });
    const { NodeIo } = await import('../../../../src/core/block/request/node-io.ts');
    const owner = {
      name: 'n',
      modes: { readOnly: false, noFlush: false, unmap: true },
      detectZeroes: 'off' as const,
      children: new Map([['backing', { size: 4096, holdsData: false }]]) as never,
      resized: () => undefined,
    };
    await new NodeIo(disk.image, owner).truncate(8192, {});
    expect(seen).toEqual([{ zero: true }]);
  });
});

describe('refusals', () => {
  test('of a read-only node, by kind of request', async () => {
    const { io, disk } = ioOver({ size: 4096 }, { readOnly: true });
    for (const change of [
      () => io.write(0, Buffer.alloc(1)),
      () => io.writev(0, [Buffer.alloc(1), Buffer.alloc(1)]),
      () => io.zero(0, 1),
      () => io.discard(0, 1),
      () => io.truncate(0, {}),
      () => io.writeCompressed(0, Buffer.alloc(1)),
    ]) {
      await expect(async () => change()).rejects.toThrow("node 'disk' is read-only");
    }
    expect(disk.counts.write).toBe(0);
  });

  test('of what the driver has not', async () => {
    const { io } = ioOver({ size: 4096, has: [] });
    await expect(io.truncate(0, {})).rejects.toThrow('cannot be resized');
    expect(() => io.writeCompressed(0, Buffer.alloc(1))).toThrow('cannot store compressed data');
    expect(() => io.write(0, Buffer.alloc(1), Flag.COMPRESSED)).toThrow('cannot store compressed data');
    await expect(ioOver({ size: 4096 }).io.truncate(-1, {})).rejects.toThrow('out of range');
    expect(io.discard(0, 4096)).toBeUndefined();
  });

  test('of an alignment that is no power of two, and of a status about nothing', () => {
    expect(() => ioOver({ size: 4096, limits: { requestAlignment: 520 } })).toThrow('not a power of two');
    const { io, disk } = ioOver({ size: 4096 });
    Object.assign(disk.image, { status: () => ({ length: 0, allocated: true, data: true, zero: false }) });
    expect(() => io.status(0, 512, true)).toThrow('empty status');
  });
});

describe('detect-zeroes', () => {
  test.each([
    ['off', 1, 0],
    ['on', 0, 1],
    ['unmap', 0, 1],
  ] as const)('%s: %i writes and %i zeroings', async (detectZeroes, writes, zeroings) => {
    const { io, disk } = ioOver({ size: 8192, zeroFlags: Flag.MAY_UNMAP }, { detectZeroes });
    await io.writev(0, [Buffer.alloc(512), Buffer.alloc(512)]);
    expect([disk.counts.write, disk.counts.zero]).toEqual([writes, zeroings]);
    await io.writev(0, [Buffer.alloc(512), Buffer.alloc(512, 1)]);
    expect(disk.counts.write).toBe(writes + 1);
  });

  test('writes where the driver cannot zero', async () => {
    const { io, disk } = ioOver({ size: 8192, has: [] }, { detectZeroes: 'on' });
    disk.data.fill(1);
    await io.write(0, Buffer.alloc(512));
    expect([disk.counts.write, disk.data[0]]).toEqual([1, 0]);
  });
});
