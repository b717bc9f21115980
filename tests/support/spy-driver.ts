/**
 * A filter that writes down the requests that pass through it, for tests of who asks what of whom and in
 * which order; `fail` can make chosen ones fail, `hold` can keep them waiting.
 */
import { after, type Maybe } from '../../src/core/async/maybe.ts';
import type { Driver, DriverEntry, Flags, Image, OpenContext } from '../../src/core/block/driver.ts';
import { Flag } from '../../src/core/block/driver.ts';
import { defineOptions } from '../../src/core/options/fields.ts';

export interface SpiedRequest {
  readonly op: 'open' | 'read' | 'write' | 'zero' | 'discard' | 'flush' | 'truncate' | 'close';
  readonly offset: number;
  readonly length: number;
  readonly flags: Flags;
}

export interface SpySettings {
  /** Throw to make a request fail before it goes on. */
  fail?(request: SpiedRequest): void;
  /** What a request waits for before it goes on. */
  hold?(request: SpiedRequest): Maybe<void>;
  /** Pass status on too; without, the graph looks through the filter. */
  readonly status?: boolean;
  /** Without a flush of its own. */
  readonly noFlush?: boolean;
}

export class Spy {
  readonly log: SpiedRequest[] = [];
  readonly settings: SpySettings;

  constructor(settings: SpySettings = {}) {
    this.settings = settings;
  }

  /** Requests of these kinds, as `write 0+512`. */
  lines(...ops: SpiedRequest['op'][]): string[] {
    return this.log
      .filter(({ op }) => ops.length === 0 || ops.includes(op))
      .map(({ op, offset, length, flags }) => `${op} ${offset}+${length}${flags === 0 ? '' : ` flags ${flags}`}`);
  }

  /** An entry for a driver list: the filter `name` (default `spy`) over its child `file`. */
  entry(name = 'spy'): DriverEntry {
    const driver: Driver = {
      name,
      kind: 'filter',
      options: defineOptions({}) as unknown as Driver['options'],
      open: async (context) => this.#open(context),
    };
    return { name, kind: 'filter', load: async () => driver };
  }

  #note(op: SpiedRequest['op'], offset: number, length: number, flags: Flags, next: () => Maybe<void>): Maybe<void> {
    const request = { op, offset, length, flags };
    this.log.push(request);
    this.settings.fail?.(request);
    return after(this.settings.hold?.(request), next);
  }

  async #open(context: OpenContext): Promise<Image> {
    await this.#note('open', 0, 0, 0, () => undefined);
    const file = context.child('file');
    const note = this.#note.bind(this);
    const image: Image = {
      get size() {
        return file.size;
      },
      limits: file.limits,
      writeFlags: Flag.FUA | Flag.UNCHANGED,
      zeroFlags: Flag.FUA | Flag.UNCHANGED | Flag.MAY_UNMAP | Flag.NO_FALLBACK,
      read: (offset, buf) => note('read', offset, buf.length, 0, () => file.read(offset, buf)),
      write: (offset, buf, flags) => note('write', offset, buf.length, flags, () => file.write(offset, buf, flags)),
      zero: (offset, length, flags) => note('zero', offset, length, flags, () => file.zero(offset, length, flags)),
      discard: (offset, length) => note('discard', offset, length, 0, () => file.discard(offset, length)),
      truncate: async (size, options) => {
        await note('truncate', size, 0, 0, () => file.truncate(size, options));
      },
      close: async () => {
        await note('close', 0, 0, 0, () => undefined);
      },
      ...(this.settings.noFlush ? {} : { flush: () => note('flush', 0, 0, 0, () => file.flush()) }),
      ...(this.settings.status
        ? { status: (offset: number, length: number, precise: boolean) => file.status(offset, length, precise) }
        : {}),
    };
    return image;
  }
}
