/**
 * `null-co` and `null-aio`: a disk that keeps nothing, for measuring what is above it.
 * Here belongs that pretence alone; delays and faults on purpose belong to filters.
 */

import { clock } from '../../core/async/clock.ts';
import type { Maybe } from '../../core/async/maybe.ts';
import { sleep } from '../../core/async/sleep.ts';
import { nextTurn } from '../../core/async/turn.ts';
import type { Driver, Extent, Image } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { bool, bytes, defineOptions, integer, type OptionsOf } from '../../core/options/fields.ts';

const options = defineOptions({
  size: bytes({ help: 'Length of the disk in bytes', default: '1G' }),
  'latency-ns': integer({ help: 'Time each request takes, in nanoseconds', default: 0, min: 0 }),
  'read-zeroes': bool({ help: 'Reads give zeroes instead of leaving the buffer as it is', default: false }),
});

type NullOptions = OptionsOf<typeof options>;

const NS_PER_MS = 1e6;

class NullImage implements Image {
  readonly writeFlags = Flag.FUA;
  readonly zeroFlags = Flag.FUA | Flag.MAY_UNMAP;
  #size: number;
  readonly #latency: number;
  readonly #zeroes: boolean;
  /** Even without a latency every request of null-aio ends in a later turn of the event loop. */
  readonly #deferred: boolean;

  constructor(settings: NullOptions, deferred: boolean) {
    this.#size = settings.size;
    this.#latency = settings['latency-ns'] / NS_PER_MS;
    this.#zeroes = settings['read-zeroes'];
    this.#deferred = deferred;
  }

  get size(): number {
    return this.#size;
  }

  read(_offset: number, buf: Uint8Array): Maybe<void> {
    if (this.#zeroes) buf.fill(0);
    return this.#end();
  }

  write(): Maybe<void> {
    return this.#end();
  }

  writev(): Maybe<void> {
    return this.#end();
  }

  zero(): Maybe<void> {
    return this.#end();
  }

  discard(): Maybe<void> {
    return this.#end();
  }

  flush(): Maybe<void> {
    return this.#end();
  }

  async truncate(size: number): Promise<void> {
    this.#size = size;
  }

  status(offset: number, length: number): Extent {
    return { length, allocated: true, data: !this.#zeroes, zero: this.#zeroes, offset };
  }

  allocatedSize(): number {
    return 0;
  }

  async close(): Promise<void> {}

  #end(): Maybe<void> {
    if (this.#latency > 0) return pause(this.#latency);
    if (this.#deferred) return nextTurn();
  }
}

/** Timers count in whole milliseconds; the rest of the time is waited out turn by turn. */
async function pause(milliseconds: number): Promise<void> {
  const end = clock() + milliseconds;
  const whole = Math.floor(milliseconds) - 1;
  if (whole > 0) await sleep(whole);
  do await nextTurn();
  while (clock() < end);
}

/** There is only one such disk by name. */
function parseName(driver: string, name: string): Record<string, unknown> {
  if (name === `${driver}:` || name === `${driver}://`) return {};
  throw new BlockError(`'${name}' is no name for driver '${driver}', which knows only '${driver}://'`);
}

function nullDriver(name: string, deferred: boolean): Driver<NullOptions> {
  return {
    name,
    kind: 'protocol',
    options,
    schemes: [name],
    parseFileName: (file) => parseName(name, file),
    strongOptions: ['size', 'read-zeroes'],
    open: async ({ options: settings }) => new NullImage(settings, deferred),
  };
}

export const nullCoDriver = nullDriver('null-co', false);
export const nullAioDriver = nullDriver('null-aio', true);
