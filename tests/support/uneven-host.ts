/**
 * A host whose requests take as long as chance has it: what is cached or not, which request is carried out first and
 * which is told of first follow from a seed. Also compressing takes its time. A test file that wants one mocks the
 * modules by which that is done, by factories that import this file:
 *
 *     vi.mock(import('../../src/core/host/calls.ts'), async (original) =>
 *       (await import('../support/uneven-host.ts')).unevenCalls(original));
 */
import { constants } from 'node:os';
import type * as Calls from '../../src/core/host/calls.ts';
import type * as Libc from '../../src/core/host/libc.ts';
import type * as Codec from '../../src/drivers/qcow2/codec.ts';
import { Random } from './random.ts';

/** Longest time that a request waits, in turns of the event loop. */
const LONGEST = 24;

let random: Random | undefined;

/** From now on time goes by this seed; undefined: as it does. */
export function setPace(seed: number | undefined): void {
  random = seed === undefined ? undefined : new Random(seed);
}

/** Some turns of the event loop, none about every third time. */
async function passTime(): Promise<void> {
  const turns = random?.chance(0.7) ? random.magnitude(LONGEST) : 0;
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Around a request: it may be carried out late, and be told of late. */
async function inItsTime<T>(request: () => T | Promise<T>): Promise<T> {
  if (!random) return request();
  await passTime();
  const result = await request();
  await passTime();
  return result;
}

/** What may be done at once now and then has to wait. */
const maybe =
  <A extends unknown[]>(call: (...args: A) => number): ((...args: A) => number) =>
  (...args) =>
    random?.chance(0.5) ? -constants.errno.EAGAIN : call(...args);

function unevenSync({ read, write, readCached, readv, writev }: Calls.SyncCalls): Calls.SyncCalls {
  return {
    read: maybe(read),
    write: maybe(write),
    ...(readCached ? { readCached: maybe(readCached) } : {}),
    ...(readv ? { readv: maybe(readv) } : {}),
    ...(writev ? { writev: maybe(writev) } : {}),
  };
}

export async function unevenCalls(original: () => Promise<typeof Calls>): Promise<typeof Calls> {
  const calls = await original();
  return {
    ...calls,
    hostCalls: () => {
      const { sync, pool } = calls.hostCalls();
      return {
        sync: sync && unevenSync(sync),
        pool: {
          read: (...args) => inItsTime(() => pool.read(...args)),
          write: (...args) => inItsTime(() => pool.write(...args)),
          readv: (...args) => inItsTime(() => pool.readv(...args)),
          writev: (...args) => inItsTime(() => pool.writev(...args)),
          // Nobody is going to pull the plug.
          flush: (...args) => inItsTime(() => (random ? 0 : pool.flush(...args))),
        },
      };
    },
  };
}

/** What else the thread pool does: punching, reserving, copying in the kernel. */
export async function unevenLibc(original: () => Promise<typeof Libc>): Promise<typeof Libc> {
  const libc = await original();
  return { ...libc, inPool: (...args) => inItsTime(() => libc.inPool(...args)) };
}

export async function unevenCodec(original: () => Promise<typeof Codec>): Promise<typeof Codec> {
  const codec = await original();
  return {
    ...codec,
    compress: (type, cluster) => inItsTime(() => codec.compress(type, cluster)),
    decompress: (type, stored, size) => inItsTime(() => codec.decompress(type, stored, size)),
  };
}
