/** The throttle filter in a graph. */
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { specFromOptions } from '../../../src/core/block/graph/spec.ts';
import { throttleGroup } from '../../../src/core/block/objects/throttle-group.ts';
import { groupLimits, ThrottleGroup } from '../../../src/core/block/throttling.ts';
import { FakeClock } from '../../core/block/throttle/fake-clock.ts';
import { driversWith, openDisk } from '../../support/disk.ts';

const group = (options: Record<string, number>, clock: FakeClock) =>
  new ThrottleGroup(groupLimits({ limits: options }, 'the test'), clock);

describe('throttle', () => {
  test('shares the limits of a group among nodes', async () => {
    const clock = new FakeClock();
    await using graph = new BlockGraph({ drivers: driversWith([]), references: 'all', warn: () => undefined });
    graph.objects.place({ id: 'g', type: throttleGroup, object: group({ 'bps-total': 1000 }, clock) });
    const open = () =>
      Backend.open(graph, specFromOptions('driver=throttle,throttle-group=g,file.driver=null-co'), {
        user: 'the test',
        permissions: operations.write.image,
      });
    const [a, b] = [await open(), await open()];
    expect(a.read(0, Buffer.alloc(600))).toBeUndefined();
    let done = false;
    const write = Promise.resolve(b.write(0, Buffer.alloc(512))).then(() => {
      done = true;
    });
    await clock.advance(499);
    expect(done).toBe(false);
    await clock.advance(2);
    expect(done).toBe(true);
    await write;
    await a.close();
    await b.close();
  });

  test('limits every kind of request, by its own options', async () => {
    const disk = await openDisk(specFromOptions('driver=throttle,iops-total=50,file.driver=null-co'), {
      writable: true,
      modes: { unmap: true },
    });
    const begin = performance.now();
    const buf = Buffer.alloc(512);
    for (let turn = 0; turn < 3; turn++) {
      await disk.read(0, buf);
      await disk.readv(0, [buf, buf]);
      await disk.write(0, buf);
      await disk.writev(0, [buf, buf]);
      await disk.zero(0, 4096);
      await disk.discard(0, 4096);
    }
    // 18 operations, of which 5 fit into the slack and one overshoots.
    expect(performance.now() - begin).toBeGreaterThan(220);
    await disk.close();
  });

  test.each([
    ['driver=throttle,file.driver=null-co', "driver 'throttle' needs a limit, or 'throttle-group'"],
    ['driver=throttle,throttle-group=x,file.driver=null-co', "there is no throttle group 'x'"],
    ['driver=throttle,throttle-group=x,bps-read=1,file.driver=null-co', 'not both'],
    ['driver=throttle,bps-read-max=1,file.driver=null-co', 'bps-read-max needs bps-read'],
    ['driver=throttle,bps-read=1', "driver 'throttle' needs 'file'"],
  ])('refuses %s', async (text, message) => {
    await expect(openDisk(specFromOptions(text))).rejects.toThrow(message);
  });
});
