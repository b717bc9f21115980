/** The filter itself: every request meets the rules and the labels, if there are any, and goes on or not. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { nextTurn } from '../../core/async/turn.ts';
import type { Extent, Flags, HostExtent, Image, Limits, TruncateOptions } from '../../core/block/driver.ts';
import type { BlockEvent } from '../../core/block/events.ts';
import type { RequestKind } from '../../core/block/fault-control.ts';
import { FilterImage, passedOnStatus, trimPadding, trimPaddingOf } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import type { PermMask, PermPair } from '../../core/block/permissions-bits.ts';
import { BlockError, errnoText, NotSupported } from '../../core/errors/block-error.ts';
import { Breakpoints } from './breakpoints.ts';
import { Labels } from './labels.ts';
import type { InjectRule, Rules } from './rules.ts';

const NS_PER_MS = 1e6;

export interface BlkdebugInit {
  readonly rules: Rules;
  readonly limits: Limits;
  /** Fewer bytes than this are not zeroed but by writing; 0 for no such limit. */
  readonly leastZero: number;
  /** Permissions taken on the child, and withheld from others, whatever the users need. */
  readonly take: PermMask;
  readonly unshare: PermMask;
}

export class BlkdebugImage extends FilterImage {
  readonly breakpoints = new Breakpoints();
  readonly labels = new Labels();
  readonly #init: BlkdebugInit;
  readonly #rules: Rules;
  readonly #align: number;

  constructor(file: Edge, init: BlkdebugInit) {
    super(file);
    this.#init = init;
    this.#rules = init.rules;
    this.#align = init.limits.requestAlignment ?? 1;
    this.#rules.announce('none');
  }

  override get limits(): Limits {
    return this.#init.limits;
  }

  override get event(): NonNullable<Image['event']> {
    return this.#hear;
  }

  readonly #hear = (name: BlockEvent): Maybe<void> => {
    this.#rules.announce(name);
    this.labels.announce(name);
    return after(this.breakpoints.announce(name), () => this.file.event(name));
  };

  childPermissions(_child: string, _users: PermPair, usual: PermPair): PermPair {
    return { ...usual, perm: usual.perm | this.#init.take, shared: usual.shared & ~this.#init.unshare };
  }

  get #idle(): boolean {
    return this.#rules.idle && this.labels.idle;
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    if (this.#idle) return this.file.read(offset, buf);
    return this.#meet('read', offset, buf.length, () => this.file.read(offset, buf));
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    if (this.#idle) return this.file.readv(offset, bufs);
    return this.#meet('read', offset, lengthOf(bufs), () => this.file.readv(offset, bufs));
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const part = trimPadding(this.file, this.#align, offset, buf);
    if (this.#idle) return this.file.write(offset, part, flags);
    return this.#meet('write', offset, buf.length, () => this.file.write(offset, part, flags));
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const parts = trimPaddingOf(this.file, this.#align, offset, bufs);
    if (this.#idle) return this.file.writev(offset, parts, flags);
    return this.#meet('write', offset, lengthOf(bufs), () => this.file.writev(offset, parts, flags));
  }

  protected override passCompressed(offset: number, buf: Uint8Array): Maybe<void> {
    return this.#meet('write', offset, buf.length, () => this.file.writeCompressed(offset, buf));
  }

  /** With a unit of its own, parts of one are declined, so that the writing in their place can be tested. */
  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    if (length < this.#init.leastZero && offset + length < this.size) {
      throw new NotSupported(`zeroing ${length} bytes is less than 'opt-write-zero', ${this.#init.leastZero} bytes`);
    }
    return this.#meet('write-zeroes', offset, length, () => this.file.zero(offset, length, flags));
  }

  override discard(offset: number, length: number): Maybe<void> {
    return this.#meet('discard', offset, length, () => this.file.discard(offset, length));
  }

  override flush(): Maybe<void> {
    return this.#meet('flush', 0, 0, () => this.file.flush());
  }

  /** Present only when somebody is interested: the graph looks through a filter without it. */
  get status(): ((offset: number, length: number, precise: boolean) => Maybe<Extent>) | undefined {
    const wanted = this.#rules.concerns('block-status') || this.labels.concerns('block-status');
    return wanted ? this.#status : undefined;
  }

  /** Says nothing itself, so that the graph asks the child: which is for it to decide, also when nobody looks deeper. */
  readonly #status = (offset: number, length: number, precise: boolean): Maybe<Extent> =>
    this.#meet('block-status', offset, length, () => passedOnStatus(this.file, offset, length, precise));

  /** What the kernel copies cannot be failed or held: only while there is nothing to meet. */
  override copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return this.#idle && super.copyRangeFrom(offset, target, targetOffset, length);
  }

  override copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    return this.#idle && super.copyRangeTo(offset, source, length);
  }

  override truncate(size: number, options: TruncateOptions): Promise<void> {
    return this.file.truncate(size, options);
  }

  #meet<T>(kind: RequestKind, offset: number, length: number, run: () => Maybe<T>): Maybe<T> {
    const label = this.labels.claim(kind, offset, length);
    if (label) return label.carry(async () => this.#meetRule(kind, offset, length, run));
    return this.#meetRule(kind, offset, length, run);
  }

  #meetRule<T>(kind: RequestKind, offset: number, length: number, run: () => Maybe<T>): Maybe<T> {
    const rule = this.#rules.meet(kind, offset, length);
    if (rule === undefined || (rule.code === undefined && rule.delayNs === 0)) return run();
    if (rule.immediately && rule.delayNs === 0) throw injected(rule);
    return delayed(rule).then(() => {
      if (rule.code !== undefined) throw injected(rule);
      return run();
    });
  }

  override async close(): Promise<void> {
    this.breakpoints.letGo();
    this.labels.letGo();
  }
}

/** Said as the host says it, so that what is above cannot tell an injected error from a real one. */
function injected(rule: InjectRule): BlockError {
  const code = rule.code ?? 'EIO';
  const data = { injected: true, event: rule.event };
  // What is not supported is done in another way, or left out where it is but a hint.
  return code === 'ENOTSUP'
    ? new NotSupported(errnoText(code), { data })
    : new BlockError(errnoText(code), { code, data });
}

function delayed(rule: InjectRule): Promise<void> {
  if (rule.delayNs === 0) return nextTurn();
  return new Promise((resolve) => setTimeout(resolve, rule.delayNs / NS_PER_MS));
}

function lengthOf(bufs: readonly Uint8Array[]): number {
  let sum = 0;
  for (const buf of bufs) sum += buf.length;
  return sum;
}
