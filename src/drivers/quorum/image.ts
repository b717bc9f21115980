/** The image that a quorum is: every request goes to all children, and their answers are put to the vote. */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Damage } from '../../core/block/damage.ts';
import type { Extent, Flags, Image, Limits, MembersCapability, TruncateOptions } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { assertWholeUnits } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { chainStatus, exclusively } from '../../core/block/own-node.ts';
import { Perm, type PermPair } from '../../core/block/permissions-bits.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import { commonError, type Ending, ending, groupEqual } from './vote.ts';

export interface QuorumInit {
  readonly children: readonly Edge[];
  readonly threshold: number;
  /** Two children that must not differ in a single byte. */
  readonly strict: boolean;
  readonly rewrite: boolean;
  readonly fifo: boolean;
  readonly name: string;
  warn(message: string): void;
  damaged(damage: Damage): void;
}

/** What was asked of the children, for those who hear of the one that is bad. */
interface Asked {
  readonly operation: 'read' | 'write' | 'flush';
  readonly offset: number;
  readonly length: number;
  /** For people. */
  readonly what: string;
}

interface Version {
  readonly child: Edge;
  readonly content: Uint8Array;
}

/** How a child answered. */
type Ballot<T> = Ending<T> & { readonly child: Edge };

interface Answers {
  readonly ballots: readonly Ballot<unknown>[];
  /** Those who have the same, the version with most votes first. */
  readonly groups: readonly (readonly Version[])[];
}

/** Lines for people about one child: a disk that is bad all over would fill logs. Events go on. */
const MAX_LINES = 10;

/** Names of the edges, before their number. */
const PREFIX = 'children.';

export class QuorumImage implements Image {
  readonly writeFlags = Flag.FUA | Flag.UNCHANGED;
  readonly zeroFlags = Flag.FUA | Flag.UNCHANGED | Flag.MAY_UNMAP | Flag.NO_FALLBACK;
  readonly #init: QuorumInit;
  #children: readonly Edge[];
  /** Lines about a child so far. */
  readonly #lines = new WeakMap<Edge, number>();
  #nextIndex: number;

  constructor(init: QuorumInit) {
    if (init.children.length === 0) throw new Error('a quorum without children');
    this.#init = init;
    this.#children = init.children;
    this.#nextIndex = init.children.length;
  }

  get #first(): Edge {
    const [first] = this.#children;
    if (!first) throw new Error('a quorum without children');
    return first;
  }

  /** Each child completes what is less than its blocks: a read that repairs waits for writes, so it may be part of none. */
  get limits(): Limits {
    return { memoryAlignment: Math.max(...this.#children.map(({ limits }) => limits.memoryAlignment ?? 1)) };
  }

  readonly members: MembersCapability = {
    role: 'data',
    prefix: PREFIX,
    nameFor: (size) => {
      if (this.#init.strict) {
        throw new BlockError(`quorum '${this.#init.name}' compares two children (blkverify), it takes no other`);
      }
      if (size !== this.size) {
        throw new BlockError(
          `the children of quorum '${this.#init.name}' have ${this.size} bytes, the new one has ${size}`,
        );
      }
      return `${PREFIX}${this.#nextIndex}`;
    },
    assertRemovable: () => {
      const { threshold, name } = this.#init;
      if (this.#children.length > threshold) return;
      throw new BlockError(`quorum '${name}' cannot have fewer children than vote-threshold says, ${threshold}`);
    },
    changed: (edges) => {
      const last = `${PREFIX}${this.#nextIndex - 1}`;
      const hadLast = this.#children.some(({ name }) => name === last);
      this.#children = edges;
      const numbers = edges.map(({ name }) => Number(name.slice(PREFIX.length)) + 1);
      // The number of the last child is given anew when that goes: clients that exchange it count on its name.
      if (hadLast && !edges.some(({ name }) => name === last)) this.#nextIndex--;
      this.#nextIndex = Math.max(this.#nextIndex, ...numbers);
    },
  };

  get size(): number {
    return this.#first.size;
  }

  get readsZeroWhenFresh(): boolean {
    return this.#children.every((edge) => edge.node.image.readsZeroWhenFresh ?? true);
  }

  childPermissions(_child: string, users: PermPair, _usual: PermPair): PermPair {
    const write = this.#init.rewrite ? Perm.WRITE : 0;
    return { perm: users.perm | write, shared: (users.shared & Perm.CONSISTENT_READ) | Perm.WRITE_UNCHANGED };
  }

  async read(offset: number, buf: Uint8Array): Promise<void> {
    if (this.#init.fifo) return this.#readFirst(offset, buf);
    const asked = reading(offset, buf.length);
    const answers = await this.#readAll(asked, buf);
    if (answers.groups.length < 2) return void this.#vote(answers, asked, buf);
    // Some may have had already what is being written: once more while nobody writes there. So what is written to those
    // that are outvoted is never older than what they have.
    await exclusively(this.#first, { offset, length: buf.length }, async () => {
      const outvoted = this.#vote(await this.#readAll(asked, buf), asked, buf);
      // An attempt: what cannot be put right stays outvoted.
      if (this.#init.rewrite) await Promise.all(outvoted.map((child) => ending(() => child.write(offset, buf))));
    });
  }

  /** The first child that can be read. */
  async #readFirst(offset: number, buf: Uint8Array): Promise<void> {
    let failure: BlockError | undefined;
    for (const child of this.#children) {
      const { error } = await ending(() => child.read(offset, buf));
      if (!error) return;
      failure = error;
      this.#report(child, reading(offset, buf.length), error.message);
    }
    throw failure;
  }

  /** What each child has, that of the first in `buf`. */
  async #readAll({ offset, length }: Asked, buf: Uint8Array): Promise<Answers> {
    const ballots = await this.#askAll(async (child) => {
      const content = child === this.#first ? buf : Buffer.allocUnsafeSlow(length);
      await child.read(offset, content);
      return { child, content };
    });
    const versions = ballots.flatMap(({ value }) => (value ? [value] : []));
    return { ballots, groups: groupEqual(versions, (a, b) => Buffer.compare(a.content, b.content) === 0) };
  }

  /** Fill `buf` with what was agreed on; returns those that have something else. */
  #vote({ ballots, groups }: Answers, asked: Asked, buf: Uint8Array): Edge[] {
    this.#reportErrors(ballots, asked);
    this.#assertEnough(groups.flat().length, asked.what, ballots, asked);
    const winner = this.#elect(groups, asked);
    const outvoted = groups.slice(1).flatMap((group) => group.map(({ child }) => child));
    for (const child of outvoted) this.#report(child, asked);
    if (winner.content !== buf) buf.set(winner.content);
    return outvoted;
  }

  /** The version with enough votes. */
  #elect(groups: readonly (readonly Version[])[], asked: Asked): Version {
    const [first = [], second] = groups;
    const [winner] = first;
    if (this.#init.strict && winner && second?.[0]) {
      const other = second[0];
      const at = winner.content.findIndex((byte, index) => byte !== other.content[index]);
      throw this.#failure(`contents differ at offset ${asked.offset + at}`);
    }
    if (winner && first.length >= this.#init.threshold) return winner;
    this.#lost(asked);
    throw this.#failure(`${asked.what}: only ${first.length} children agree, and ${this.#init.threshold} have to`);
  }

  write(offset: number, buf: Uint8Array, flags: Flags): Promise<void> {
    return this.#change(writing(offset, buf.length, 'writing'), (child) => child.write(offset, buf, flags));
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Promise<void> {
    const length = bufs.reduce((sum, each) => sum + each.length, 0);
    return this.#change(writing(offset, length, 'writing'), (child) => child.writev(offset, bufs, flags));
  }

  async zero(offset: number, length: number, flags: Flags): Promise<void> {
    const asked = writing(offset, length, 'zeroing');
    const zero = (child: Edge, how: Flags) => child.zero(offset, length, how);
    const written = flags & ~Flag.NO_FALLBACK;
    if (written === flags) return this.#change(asked, (child) => zero(child, flags));
    assertWholeUnits(this.#children, offset, length);
    const ballots = new Map(
      (await this.#askAll((child) => zero(child, flags))).map((ballot) => [ballot.child, ballot]),
    );
    const errors = [...ballots.values()].flatMap(({ error }) => (error instanceof NotSupported ? [error] : []));
    if (errors[0] && errors.length === ballots.size) throw errors[0];
    // To decline is no fault, but the others have zeroes already: it gets them as it can.
    await this.#change(asked, (child) => {
      const error = ballots.get(child)?.error;
      if (error instanceof NotSupported) return zero(child, written);
      if (error) throw error;
    });
  }

  flush(): Promise<void> {
    return this.#change({ operation: 'flush', offset: 0, length: this.size, what: 'flushing' }, (child) =>
      child.flush(),
    );
  }

  /** Of all children or of none, since those of another length would not be taken for a quorum any more. */
  async truncate(size: number, options: TruncateOptions): Promise<void> {
    const before = this.size;
    const asked: Asked = { operation: 'write', offset: size, length: 0, what: `resizing to ${size} bytes` };
    const ballots = await this.#askAll((child) => child.truncate(size, options));
    this.#reportErrors(ballots, asked);
    const error = commonError(ballots);
    if (!error) return;
    const done = ballots.filter((ballot) => !ballot.error);
    await Promise.all(done.map(({ child }) => ending(() => child.truncate(before, { exact: false }))));
    throw error;
  }

  /** A range is zero when all children that answer say so. */
  async status(offset: number, length: number, precise: boolean): Promise<Extent> {
    const ask = (child: Edge) => chainStatus(child.node, undefined, { offset, length, precise });
    const answers = await Promise.all(this.#children.map((child) => ending(() => ask(child))));
    const extents = answers.flatMap(({ value }) => (value ? [value] : []));
    this.#assertEnough(extents.length, `asking for the status at ${offset}`, answers);
    const zero = extents.every((extent) => extent.zero);
    const span = Math.min(...extents.map((extent) => extent.length));
    return { length: span, allocated: true, data: extents.some((extent) => extent.data), zero };
  }

  async #change(asked: Asked, run: (child: Edge) => Maybe<void>): Promise<void> {
    const ballots = await this.#askAll(run);
    this.#reportErrors(ballots, asked);
    this.#assertEnough(ballots.filter(({ error }) => !error).length, asked.what, ballots, asked);
  }

  #askAll<T>(run: (child: Edge) => Maybe<T>): Promise<Ballot<T>[]> {
    return Promise.all(this.#children.map(async (child) => ({ child, ...(await ending(() => run(child))) })));
  }

  #reportErrors(ballots: readonly Ballot<unknown>[], asked: Asked): void {
    for (const { child, error } of ballots) if (error) this.#report(child, asked, error.message);
  }

  /** Throws the error of most children when too few have succeeded. */
  #assertEnough(succeeded: number, what: string, endings: readonly Ending<unknown>[], asked?: Asked): void {
    if (succeeded >= this.#init.threshold) return;
    if (asked) this.#lost(asked);
    throw commonError(endings) ?? this.#failure(`${what} failed`);
  }

  /** Without an error, its content is what is wrong. */
  #report(child: Edge, { what, operation, offset, length }: Asked, error?: string): void {
    const why = error ?? 'its content differs from that of the others';
    const { name } = child.node;
    const lines = (this.#lines.get(child) ?? 0) + 1;
    this.#lines.set(child, lines);
    const last = lines === MAX_LINES ? '; no more is said of this child' : '';
    if (lines <= MAX_LINES) {
      this.#init.warn(`quorum '${this.#init.name}': child '${name}' is bad, ${what}: ${why}${last}`);
    }
    const cause = error === undefined ? {} : { error };
    this.#init.damaged({ kind: 'bad-child', child: name, operation, offset, length, ...cause });
  }

  /** A request for data fails. */
  #lost({ operation, offset, length }: Asked): void {
    if (operation !== 'flush' && length > 0) this.#init.damaged({ kind: 'no-quorum', offset, length });
  }

  #failure(message: string): BlockError {
    return new BlockError(`quorum '${this.#init.name}': ${message}`, { code: 'EIO' });
  }

  async close(): Promise<void> {}
}

function reading(offset: number, length: number): Asked {
  return { operation: 'read', offset, length, what: `reading ${length} bytes at ${offset}` };
}

function writing(offset: number, length: number, how: 'writing' | 'zeroing'): Asked {
  return { operation: 'write', offset, length, what: `${how} ${length} bytes at ${offset}` };
}
