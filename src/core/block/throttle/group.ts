/**
 * A group of members under common limits. All that waits takes turns: a member with requests of one direction has one, in
 * which one request passes, so that a member with many requests does not hold up one with few, nor reads writes. Who
 * waits for another limit than the others is passed by.
 *
 * Members with few requests at a time send the next when the last has ended. So while there are several, a turn each is
 * all that passes at once, whatever the limits would allow: then those who are about to come back have time to do so.
 */
import type { Maybe } from '../../async/maybe.ts';
import { type Clock, systemClock } from '../../async/rate-limit.ts';
import { LeakyBucket } from './bucket.ts';
import { type BucketName, bucketNames, type ThrottleLimits } from './limits.ts';

export type Direction = 'read' | 'write';

interface Request {
  readonly length: number;
  readonly pass: () => void;
}

/** The requests of a member in one direction, of which some wait. */
interface Turn {
  readonly member: ThrottleMember;
  readonly direction: Direction;
}

/** The buckets of one direction: only those that limit anything. */
interface Buckets {
  readonly bytes: readonly LeakyBucket[];
  readonly operations: readonly LeakyBucket[];
}

/** Milliseconds for which a member that had to wait is expected to come back. */
const ABSENCE_MS = 5;
const directions = ['read', 'write'] as const;

export class ThrottleGroup {
  readonly #clock: Clock;
  #limits: ThrottleLimits;
  #all: readonly LeakyBucket[] = [];
  #buckets: Readonly<Record<Direction, Buckets>> = {
    read: { bytes: [], operations: [] },
    write: { bytes: [], operations: [] },
  };
  #leakedAt: number;
  /** In their order. */
  readonly #turns: Turn[] = [];
  #stopTimer: (() => void) | undefined;
  /** Until then there are others than those who wait. */
  #sharedUntil = 0;

  constructor(limits: ThrottleLimits, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#limits = limits;
    this.#leakedAt = clock.now();
    this.#makeBuckets();
  }

  #makeBuckets(): void {
    const made = new Map<BucketName, LeakyBucket>();
    for (const name of bucketNames) {
      const limit = this.#limits.buckets[name];
      if (limit.average > 0) made.set(name, new LeakyBucket(limit));
    }
    const pick = (...names: BucketName[]) => names.flatMap((name) => made.get(name) ?? []);
    this.#all = [...made.values()];
    const of = (direction: Direction): Buckets => ({
      bytes: pick('bps-total', `bps-${direction}`),
      operations: pick('iops-total', `iops-${direction}`),
    });
    this.#buckets = { read: of('read'), write: of('write') };
  }

  get limits(): ThrottleLimits {
    return this.#limits;
  }

  /** Other limits from now on; what waits is looked at again, with empty buckets. */
  set limits(limits: ThrottleLimits) {
    this.#limits = limits;
    this.#makeBuckets();
    this.#dispatch();
  }

  join(): ThrottleMember {
    return new ThrottleMember(this);
  }

  /** Used by members. */
  admit(member: ThrottleMember, direction: Direction, length: number): Maybe<void> {
    this.#leak();
    const queue = member.queues[direction];
    if (queue.length === 0 && this.#wait(direction) === 0 && !this.#somebodyMay()) {
      this.#pour(direction, length);
      return;
    }
    return new Promise<void>((pass) => {
      queue.push({ length, pass });
      if (queue.length > 1) return;
      const first = !this.#turns.some((turn) => turn.direction === direction);
      this.#turns.push({ member, direction });
      // The others may have longer to wait.
      if (first || !this.#stopTimer) this.#start();
    });
  }

  /** Used by members: what does not wait counts all the same. */
  count(direction: Direction, length: number): void {
    this.#leak();
    this.#pour(direction, length);
  }

  /** Used by members: let all that waits for them go, beyond the limits. */
  free(member: ThrottleMember): void {
    for (const direction of directions) {
      const at = this.#turns.findIndex((turn) => turn.member === member && turn.direction === direction);
      if (at >= 0) this.#turns.splice(at, 1);
      for (const request of member.queues[direction].splice(0)) {
        this.#pour(direction, request.length);
        request.pass();
      }
    }
    // Nothing may be left that a timer would keep the program for.
    if (this.#stopTimer) this.#start();
  }

  #leak(): void {
    const now = this.#clock.now();
    const ms = now - this.#leakedAt;
    this.#leakedAt = now;
    if (ms > 0) for (const bucket of this.#all) bucket.leak(ms);
  }

  /** Somebody who waits need not, but for his turn. */
  #somebodyMay(): boolean {
    return this.#turns.length > 0 && this.#turns.some(({ direction }) => this.#wait(direction) === 0);
  }

  /** Milliseconds until something may pass in this direction. */
  #wait(direction: Direction): number {
    const { bytes, operations } = this.#buckets[direction];
    let longest = 0;
    for (const bucket of bytes) longest = Math.max(longest, bucket.wait());
    for (const bucket of operations) longest = Math.max(longest, bucket.wait());
    return longest;
  }

  #pour(direction: Direction, length: number): void {
    const { operationSize } = this.#limits;
    const { bytes, operations } = this.#buckets[direction];
    for (const bucket of bytes) bucket.pour(length);
    const count = operationSize > 0 && length > operationSize ? length / operationSize : 1;
    for (const bucket of operations) bucket.pour(count);
  }

  /** Look again when the first of those who wait may go. */
  #start(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    const waits = directions.flatMap((direction) =>
      this.#turns.some((turn) => turn.direction === direction) ? [this.#wait(direction)] : [],
    );
    if (waits.length === 0) return;
    // Up to a whole millisecond: timers are no finer, and an early one would only be set again.
    this.#stopTimer = this.#clock.after(Math.ceil(Math.min(...waits)), () => this.#dispatch());
  }

  /** Let go who may, in turns, and wait for the rest. */
  #dispatch(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#leak();
    const now = this.#clock.now();
    if (this.#turns.length > 1) this.#sharedUntil = now + ABSENCE_MS;
    let left = now < this.#sharedUntil ? this.#turns.length : Number.POSITIVE_INFINITY;
    for (; left > 0 && this.#turns.length > 0; left--) {
      const waits = { read: this.#wait('read'), write: this.#wait('write') };
      const at = this.#turns.findIndex(({ direction }) => waits[direction] === 0);
      const [turn] = at < 0 ? [] : this.#turns.splice(at, 1);
      if (!turn) break;
      const queue = turn.member.queues[turn.direction];
      const request = queue.shift();
      if (queue.length > 0) this.#turns.push(turn);
      if (!request) continue;
      this.#pour(turn.direction, request.length);
      request.pass();
    }
    if (!this.#stopTimer) this.#start();
  }
}

/** One user of a group: a node, a backend. */
export class ThrottleMember {
  /** Requests that wait, for the group. */
  readonly queues: Readonly<Record<Direction, Request[]>> = { read: [], write: [] };
  readonly #group: ThrottleGroup;
  #limited = true;

  constructor(group: ThrottleGroup) {
    this.#group = group;
  }

  /** Nothing when a request of `length` bytes may pass now, else a promise of the moment it may. */
  admit(direction: Direction, length: number): Maybe<void> {
    if (this.#limited) return this.#group.admit(this, direction, length);
    this.#group.count(direction, length);
  }

  /** Off while somebody waits for all that is under way to end: then nothing waits here, and what waits goes on. */
  set limited(on: boolean) {
    this.#limited = on;
    if (!on) this.#group.free(this);
  }

  /** Let everything that waits go on now: nobody should wait for a timer to close. */
  release(): void {
    this.#group.free(this);
  }
}
