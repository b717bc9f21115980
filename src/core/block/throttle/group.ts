/**
 * A group of members under common limits. Reads and writes wait in lines of their own; within a line the members
 * take turns, one request each, so that a member with many requests does not hold up one with few.
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

/** The requests of one direction that wait, and what they wait for: only buckets that limit anything. */
class Line {
  /** Members with requests that wait, in the order of their turns. */
  readonly members: ThrottleMember[] = [];
  stopTimer: (() => void) | undefined;
  bytes: readonly LeakyBucket[] = [];
  operations: readonly LeakyBucket[] = [];
}

export class ThrottleGroup {
  readonly #clock: Clock;
  #limits: ThrottleLimits;
  #buckets: readonly LeakyBucket[] = [];
  #leakedAt: number;
  readonly #lines: Readonly<Record<Direction, Line>> = { read: new Line(), write: new Line() };

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
    this.#buckets = [...made.values()];
    for (const direction of ['read', 'write'] as const) {
      this.#lines[direction].bytes = pick('bps-total', `bps-${direction}`);
      this.#lines[direction].operations = pick('iops-total', `iops-${direction}`);
    }
  }

  get limits(): ThrottleLimits {
    return this.#limits;
  }

  /** Other limits from now on; what waits is looked at again, with empty buckets. */
  set limits(limits: ThrottleLimits) {
    this.#limits = limits;
    this.#makeBuckets();
    for (const direction of ['read', 'write'] as const) this.#dispatch(direction);
  }

  join(): ThrottleMember {
    return new ThrottleMember(this);
  }

  /** Used by members. */
  admit(member: ThrottleMember, direction: Direction, length: number): Maybe<void> {
    const line = this.#lines[direction];
    this.#leak();
    if (line.members.length === 0 && this.#wait(direction) === 0) {
      this.#pour(direction, length);
      return;
    }
    return new Promise<void>((pass) => {
      const queue = member.queues[direction];
      queue.push({ length, pass });
      if (queue.length === 1) line.members.push(member);
      if (!line.stopTimer) this.#start(direction);
    });
  }

  /** Used by members: let all that waits for them go, beyond the limits. */
  free(member: ThrottleMember): void {
    for (const direction of ['read', 'write'] as const) {
      const line = this.#lines[direction];
      const at = line.members.indexOf(member);
      if (at >= 0) line.members.splice(at, 1);
      for (const request of member.queues[direction].splice(0)) {
        this.#pour(direction, request.length);
        request.pass();
      }
    }
  }

  #leak(): void {
    const now = this.#clock.now();
    const ms = now - this.#leakedAt;
    this.#leakedAt = now;
    if (ms > 0) for (const bucket of this.#buckets) bucket.leak(ms);
  }

  /** Milliseconds until something may pass in this direction. */
  #wait(direction: Direction): number {
    const { bytes, operations } = this.#lines[direction];
    let longest = 0;
    for (const bucket of bytes) longest = Math.max(longest, bucket.wait());
    for (const bucket of operations) longest = Math.max(longest, bucket.wait());
    return longest;
  }

  #pour(direction: Direction, length: number): void {
    const { operationSize } = this.#limits;
    const { bytes, operations } = this.#lines[direction];
    for (const bucket of bytes) bucket.pour(length);
    const count = operationSize > 0 && length > operationSize ? length / operationSize : 1;
    for (const bucket of operations) bucket.pour(count);
  }

  #start(direction: Direction): void {
    const line = this.#lines[direction];
    // Up to a whole millisecond: timers are no finer, and an early one would only be set again.
    line.stopTimer = this.#clock.after(Math.ceil(this.#wait(direction)), () => {
      line.stopTimer = undefined;
      this.#dispatch(direction);
    });
  }

  /** Let go who may, in turns, and wait for the rest. */
  #dispatch(direction: Direction): void {
    const line = this.#lines[direction];
    line.stopTimer?.();
    line.stopTimer = undefined;
    this.#leak();
    for (let member = line.members[0]; member; member = line.members[0]) {
      if (this.#wait(direction) > 0) {
        this.#start(direction);
        return;
      }
      line.members.shift();
      const queue = member.queues[direction];
      const request = queue.shift();
      if (queue.length > 0) line.members.push(member);
      if (!request) continue;
      this.#pour(direction, request.length);
      request.pass();
    }
  }
}

/** One user of a group: a node, a backend. */
export class ThrottleMember {
  /** Requests that wait, for the group. */
  readonly queues: Readonly<Record<Direction, Request[]>> = { read: [], write: [] };
  readonly #group: ThrottleGroup;

  constructor(group: ThrottleGroup) {
    this.#group = group;
  }

  /** Nothing when a request of `length` bytes may pass now, else a promise of the moment it may. */
  admit(direction: Direction, length: number): Maybe<void> {
    return this.#group.admit(this, direction, length);
  }

  /** Let everything that waits go on now: nobody should wait for a timer to close. */
  release(): void {
    this.#group.free(this);
  }
}
