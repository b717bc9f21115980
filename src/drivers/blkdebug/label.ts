/**
 * One label and the life of the request that bears it.
 *
 *     expected → armed → running ⇄ held → done → armed …
 *
 * `expected` is a label that was spoken of before it was armed. A request is held when it arrives, or when it
 * has completed below and its result is not yet reported.
 */
import type { HoldPoint, LabelMatch, LabelState, RequestKind } from '../../core/block/fault-control.ts';
import { BlockError, type ErrorCode, errnoText } from '../../core/errors/block-error.ts';

type Until = 'arrived' | 'done';
export type LabelNews = (what: 'held' | 'released', name: string) => void;

/** Who keeps the label. */
export interface LabelOwner {
  readonly news: LabelNews;
  /** The request has completed, and the label is to be armed again. */
  again(label: Label, match: LabelMatch): void;
}

interface Waiter {
  readonly until: Until;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Label {
  readonly name: string;
  state: LabelState = 'expected';
  readonly #owner: LabelOwner;
  #match: LabelMatch = {};
  #skip = 0;
  /** The event that the match names has been announced. */
  #primed = true;
  #holdAt: HoldPoint | undefined;
  #failWith: ErrorCode | undefined;
  #letGo: (() => void) | undefined;
  #waiters: Waiter[] = [];

  constructor(name: string, owner: LabelOwner) {
    this.name = name;
    this.#owner = owner;
  }

  get underWay(): boolean {
    return this.state === 'running' || this.state === 'held';
  }

  /** What `hold` and `fail` said while the label was `expected` stays. */
  arm(match: LabelMatch): void {
    this.#match = match;
    this.#skip = match.skip ?? 0;
    this.#primed = match.event === undefined;
    this.state = 'armed';
  }

  announce(event: string): void {
    if (this.state === 'armed' && this.#match.event === event) this.#primed = true;
  }

  /** Is this request the one; a request that is skipped counts. */
  fits(kind: RequestKind, offset: number, length: number): boolean {
    const { kind: wanted, offset: at, length: span = 1 } = this.#match;
    if (!this.#primed || (wanted !== undefined && wanted !== kind)) return false;
    if (at !== undefined && !(offset < at + span && at < offset + length)) return false;
    return this.#skip-- <= 0;
  }

  wants(kind: RequestKind): boolean {
    return this.state === 'armed' && (this.#match.kind === undefined || this.#match.kind === kind);
  }

  /** From now on the label is borne by a request. */
  take(): void {
    this.state = 'running';
    this.#wake('arrived');
  }

  /** Carry out the request, `run`, as the label says. */
  async carry<T>(run: () => Promise<T>): Promise<T> {
    try {
      if (this.#holdAt === 'arrival') await this.#hold();
      this.#throwIfFailed();
      try {
        return await run();
      } finally {
        // A result or an error, either is held back.
        if (this.#holdAt === 'completion') await this.#hold();
        this.#throwIfFailed();
      }
    } finally {
      this.state = 'done';
      this.#holdAt = undefined;
      this.#failWith = undefined;
      this.#wake('done');
      if (this.#match.again) this.#owner.again(this, this.#match);
    }
  }

  async #hold(): Promise<void> {
    this.#holdAt = undefined;
    this.state = 'held';
    const released = new Promise<void>((resolve) => {
      this.#letGo = resolve;
    });
    this.#owner.news('held', this.name);
    await released;
    this.state = 'running';
  }

  #throwIfFailed(): void {
    if (this.#failWith !== undefined) throw new BlockError(errnoText(this.#failWith), { code: this.#failWith });
  }

  hold(point: HoldPoint): void {
    if (this.underWay && point === 'arrival' && this.state !== 'held') {
      throw new BlockError(`request '${this.name}' has arrived and gone on already`, { code: 'EBUSY' });
    }
    if (this.state === 'done') this.state = 'expected';
    if (this.state === 'held' && point === 'arrival') return;
    this.#holdAt = point;
  }

  release(): void {
    if (this.state === 'held') this.#go();
    else if (this.#holdAt !== undefined) this.#holdAt = undefined;
    else throw new BlockError(`request '${this.name}' is not held`);
  }

  fail(code: ErrorCode): void {
    if (this.state === 'done') this.state = 'expected';
    this.#failWith = code;
    if (this.state === 'held') this.#go();
  }

  #go(): void {
    const letGo = this.#letGo;
    this.#letGo = undefined;
    if (letGo) this.#owner.news('released', this.name);
    letGo?.();
  }

  wait(until: Until): Promise<void> {
    if (this.state === 'done' || (until === 'arrived' && this.underWay)) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ until, resolve, reject }));
  }

  #wake(until: Until): void {
    const woken = this.#waiters.filter((waiter) => until === 'done' || waiter.until === until);
    this.#waiters = this.#waiters.filter((waiter) => !woken.includes(waiter));
    for (const waiter of woken) waiter.resolve();
  }

  /** Nobody will come, or whoever came may go. */
  abandon(): void {
    this.#holdAt = undefined;
    if (this.state === 'held') this.#go();
    if (this.underWay) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) {
      reject(new BlockError(`no request labelled '${this.name}' came`, { code: 'ECANCELED' }));
    }
  }
}
