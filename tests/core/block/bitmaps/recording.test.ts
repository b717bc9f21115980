/** Which requests are marked in a node's bitmaps, and when. */
import { describe, expect, test } from 'vitest';
import { DirtyTracker } from '../../../../src/core/block/bitmaps/index.ts';
import { Flag } from '../../../../src/core/block/driver.ts';
import { ioOver } from '../request/support.ts';

const SIZE = 65536;
const GRAIN = 4096;

function trackedDisk(settings: Parameters<typeof ioOver>[0] = { size: SIZE }) {
  const { io, disk } = ioOver(settings);
  const tracker = new DirtyTracker(io.bitmaps, GRAIN);
  const dirty = (): number[] => {
    const offsets = [...tracker.bitmap.extents()].filter((extent) => extent.dirty).map((extent) => extent.offset);
    tracker.bitmap.clearAll();
    return offsets;
  };
  return { io, disk, tracker, dirty };
}

describe('a change of the disk', () => {
  test('is marked, however it is made', async () => {
    const { io, dirty } = trackedDisk();
    await io.write(0, Buffer.alloc(512));
    expect(dirty()).toEqual([0]);
    await io.writev(GRAIN, [Buffer.alloc(512), Buffer.alloc(512)]);
    expect(dirty()).toEqual([GRAIN]);
    await io.write(2 * GRAIN, Buffer.alloc(512), Flag.FUA);
    expect(dirty()).toEqual([2 * GRAIN]);
    await io.zero(3 * GRAIN, GRAIN);
    expect(dirty()).toEqual([3 * GRAIN]);
    await io.discard(4 * GRAIN, GRAIN);
    expect(dirty()).toEqual([4 * GRAIN]);
  });

  test('is marked in whole blocks where it is padded to them', async () => {
    const { io, dirty } = trackedDisk({ size: SIZE, limits: { requestAlignment: 8192 } });
    await io.write(GRAIN + 512, Buffer.alloc(512));
    expect(dirty()).toEqual([0]);
  });

  test('that leaves the content as it is, is not marked; nor are reads', async () => {
    const { io, dirty } = trackedDisk();
    await io.write(0, Buffer.alloc(512), Flag.UNCHANGED);
    await io.zero(GRAIN, GRAIN, Flag.UNCHANGED);
    await io.read(0, Buffer.alloc(512));
    expect(dirty()).toEqual([]);
  });

  test('is marked when it fails, at once or later', async () => {
    for (const fail of [
      () => {
        throw new Error('no');
      },
      () => Promise.reject(new Error('no')),
    ]) {
      const { io, dirty } = trackedDisk({
        size: SIZE,
        on: (operation) => (operation === 'write' ? fail() : undefined),
      });
      await expect(async () => io.write(0, Buffer.alloc(512))).rejects.toThrow('no');
      expect(dirty()).toEqual([0]);
    }
  });

  test('under way is marked when it ends, also for a tracker that came meanwhile', async () => {
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { io } = ioOver({ size: SIZE, on: (operation) => (operation === 'write' ? gate : undefined) });
    const writing = io.write(GRAIN, Buffer.alloc(512));
    const tracker = new DirtyTracker(io.bitmaps, GRAIN);
    expect(tracker.count).toBe(0);
    open();
    await writing;
    expect(tracker.take(SIZE)).toEqual({ offset: GRAIN, length: GRAIN });
  });

  test('is marked no more after the end of the tracker, or while it does not record', async () => {
    const { io, tracker } = trackedDisk();
    tracker.recording = false;
    await io.write(0, Buffer.alloc(512));
    expect(tracker.count).toBe(0);
    tracker.recording = true;
    await io.write(0, Buffer.alloc(512));
    expect(tracker.count).toBe(GRAIN);
    tracker.dispose();
    await io.write(GRAIN, Buffer.alloc(512));
    expect(tracker.count).toBe(GRAIN);
    expect(io.bitmaps.recording).toBe(false);
  });

  test('of its length makes the bitmaps follow', async () => {
    const { io, tracker } = trackedDisk();
    await io.truncate(2 * SIZE, {});
    await io.write(2 * SIZE - 512, Buffer.alloc(512));
    expect(tracker.take(SIZE)).toEqual({ offset: 2 * SIZE - GRAIN, length: GRAIN });
    await io.truncate(512, {});
    expect(tracker.bitmap.size).toBe(512);
  });
});

describe('a tracker', () => {
  test('gives out what is dirty in turn, in whole granules, once', () => {
    const { tracker } = trackedDisk();
    tracker.bitmap.set(0, 3 * GRAIN);
    tracker.bitmap.set(10 * GRAIN, GRAIN);
    expect(tracker.take(2 * GRAIN + 5)).toEqual({ offset: 0, length: 2 * GRAIN });
    expect(tracker.take(1)).toEqual({ offset: 2 * GRAIN, length: GRAIN });
    tracker.putBack({ offset: 0, length: GRAIN });
    expect(tracker.take(SIZE)).toEqual({ offset: 10 * GRAIN, length: GRAIN });
    expect(tracker.take(SIZE)).toEqual({ offset: 0, length: GRAIN });
    expect(tracker.take(SIZE)).toBeUndefined();
  });

  test('forgets what somebody else deals with', () => {
    const { tracker } = trackedDisk();
    tracker.bitmap.set(0, 3 * GRAIN);
    tracker.claim(GRAIN - 1, GRAIN + 1);
    expect(tracker.count).toBe(2 * GRAIN);
  });
});
