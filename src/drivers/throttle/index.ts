/**
 * `throttle`: requests keep to limits on bytes and operations per second, its own or those of a group that other
 * nodes share. What the limits are and who waits how long is for core/block/throttle; here is only where they apply.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { Driver, Flags, OpenContext, ReopenCapability } from '../../core/block/driver.ts';
import { FilterImage } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { hasLimits, limitFields, limitsFrom, ThrottleGroup, type ThrottleMember } from '../../core/block/throttling.ts';
import { Usage } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';

const options = defineOptions({
  'throttle-group': text({ help: 'Id of the throttle-group object whose limits apply' }),
  ...limitFields,
});

type ThrottleOptions = OptionsOf<typeof options>;

class ThrottleImage extends FilterImage {
  #member: ThrottleMember;
  #hurried = false;
  readonly reopen: ReopenCapability;

  /** `join` finds the group that options name. */
  constructor(file: Edge, member: ThrottleMember, join: (options: ThrottleOptions) => ThrottleMember) {
    super(file);
    this.#member = member;
    this.reopen = {
      prepare: async (options) => {
        const next = join(options as ThrottleOptions);
        return {
          commit: () => {
            this.#member.release();
            this.#member = next;
            next.limited = !this.#hurried;
          },
          abort: () => next.release(),
        };
      },
    };
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    const wait = this.#member.admit('read', buf.length);
    return wait ? wait.then(() => this.file.read(offset, buf)) : this.file.read(offset, buf);
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return after(this.#member.admit('read', lengthOf(bufs)), () => this.file.readv(offset, bufs));
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const wait = this.#member.admit('write', buf.length);
    return wait ? wait.then(() => this.file.write(offset, buf, flags)) : this.file.write(offset, buf, flags);
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    return after(this.#member.admit('write', lengthOf(bufs)), () => this.file.writev(offset, bufs, flags));
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return after(this.#member.admit('write', buf.length), () => this.file.writeCompressed(offset, buf));
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    return after(this.#member.admit('write', length), () => this.file.zero(offset, length, flags));
  }

  override discard(offset: number, length: number): Maybe<void> {
    return after(this.#member.admit('write', length), () => this.file.discard(offset, length));
  }

  /** What the kernel copies would pass beside the limits. */
  override copyRangeFrom(): Maybe<boolean> {
    return false;
  }

  override copyRangeTo(): Maybe<boolean> {
    return false;
  }

  /** Requests that wait here would hold up for long who waits for them. */
  hurry(on: boolean): void {
    this.#hurried = on;
    this.#member.limited = !on;
  }

  override async close(): Promise<void> {
    this.#member.release();
  }
}

function groupOf(options: ThrottleOptions, named: OpenContext['object']): ThrottleGroup {
  const { 'throttle-group': id, ...own } = options;
  const limits = limitsFrom(own);
  if (id === undefined) {
    if (!hasLimits(limits)) throw new Usage("driver 'throttle' needs a limit, or 'throttle-group'");
    return new ThrottleGroup(limits);
  }
  if (hasLimits(limits)) throw new Usage("driver 'throttle' takes limits of its own or 'throttle-group', not both");
  return named('throttle-group', id);
}

function lengthOf(bufs: readonly Uint8Array[]): number {
  let sum = 0;
  for (const buf of bufs) sum += buf.length;
  return sum;
}

export const throttleDriver: Driver<ThrottleOptions> = {
  name: 'throttle',
  kind: 'filter',
  options,
  strongOptions: ['throttle-group', ...Object.keys(limitFields)],
  async open(context) {
    const join = (given: ThrottleOptions) => groupOf(given, context.object).join();
    return new ThrottleImage(context.child('file'), join(context.options), join);
  },
};
