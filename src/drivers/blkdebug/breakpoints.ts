/** Breakpoints: who announces an event waits until told to go on. */
import type { Maybe } from '../../core/async/maybe.ts';
import { type BlockEvent, isBlockEvent } from '../../core/block/events.ts';
import type { BreakpointCapability } from '../../core/block/fault-control.ts';
import { BlockError } from '../../core/errors/block-error.ts';

type Listener = Parameters<BreakpointCapability['listen']>[0];

interface Suspended {
  readonly tag: string;
  readonly wake: () => void;
}

interface Waiter {
  readonly tag: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Breakpoints implements BreakpointCapability {
  #set: { readonly event: BlockEvent; readonly tag: string }[] = [];
  /** The last to come stands first. */
  #suspended: Suspended[] = [];
  #waiting: Waiter[] = [];
  readonly #listeners = new Set<Listener>();

  /** Suspend the caller where a breakpoint is set for `event`; the breakpoint is gone then. */
  announce(event: BlockEvent): Maybe<void> {
    if (this.#set.length === 0) return;
    const reached = this.#set.filter((each) => each.event === event);
    if (reached.length === 0) return;
    this.#set = this.#set.filter((each) => each.event !== event);
    return Promise.all(reached.map(({ tag }) => this.#suspend(tag))).then(() => undefined);
  }

  #suspend(tag: string): Promise<void> {
    const suspended = new Promise<void>((wake) => this.#suspended.unshift({ tag, wake }));
    this.#tell('suspended', tag);
    const [arrived, others] = split(this.#waiting, (waiter) => waiter.tag === tag);
    this.#waiting = others;
    for (const waiter of arrived) waiter.resolve();
    return suspended;
  }

  set(event: string, tag: string): void {
    if (!isBlockEvent(event)) throw new BlockError(`there is no event '${event}'`, { code: 'ENOENT' });
    this.#set.push({ event, tag });
  }

  remove(tag: string): void {
    const before = this.#set.length;
    this.#set = this.#set.filter((each) => each.tag !== tag);
    const [there, others] = split(this.#suspended, (each) => each.tag === tag);
    if (this.#set.length === before && there.length === 0) {
      throw new BlockError(`there is no breakpoint '${tag}'`, { code: 'ENOENT' });
    }
    this.#suspended = others;
    for (const each of there) this.#wake(each);
  }

  resume(tag: string): void {
    const found = this.#suspended.find((each) => each.tag === tag);
    if (!found) throw new BlockError(`no request is suspended at breakpoint '${tag}'`, { code: 'ENOENT' });
    this.#suspended = this.#suspended.filter((each) => each !== found);
    this.#wake(found);
  }

  #wake(suspended: Suspended): void {
    this.#tell('resumed', suspended.tag);
    suspended.wake();
  }

  isSuspended(tag: string): boolean {
    return this.#suspended.some((each) => each.tag === tag);
  }

  wait(tag: string): Promise<void> {
    if (this.isSuspended(tag)) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ tag, resolve, reject }));
  }

  suspended(): readonly string[] {
    return this.#suspended.map((each) => each.tag);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  letGo(): void {
    this.#set = [];
    const there = this.#suspended;
    this.#suspended = [];
    for (const each of there) this.#wake(each);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { tag, reject } of waiting) {
      reject(new BlockError(`no request came to breakpoint '${tag}'`, { code: 'ECANCELED' }));
    }
  }

  #tell(what: 'suspended' | 'resumed', tag: string): void {
    for (const listener of this.#listeners) listener(what, tag);
  }
}

function split<T>(list: readonly T[], belongs: (item: T) => boolean): [T[], T[]] {
  return [list.filter(belongs), list.filter((item) => !belongs(item))];
}
