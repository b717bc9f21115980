/** Events on their way to the clients: stamped with the time, and held back where one kind comes too often. */
import { type Clock, systemClock } from '../async/rate-limit.ts';
import type { EventName } from './events.ts';
import { eventTable } from './events.ts';

export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

interface Held {
  next: QmpEvent | undefined;
  readonly stop: () => void;
}

export class EventBus {
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #clock: Clock;
  /** By event and key, while no other of the kind may be sent. */
  readonly #held = new Map<string, Held>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Have `listener` called for each event; returns how to stop that. */
  subscribe(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  emit(name: EventName, data?: Readonly<Record<string, unknown>>): void {
    const event: QmpEvent = { event: name, ...(data ? { data } : {}), timestamp: now() };
    const limit = eventTable.get(name)?.limit;
    if (!limit) {
      this.#send(event);
      return;
    }
    const key = `${name}\n${limit.key(data ?? {})}`;
    const held = this.#held.get(key);
    if (held) {
      held.next = event;
      return;
    }
    this.#send(event);
    this.#hold(key, limit.ms);
  }

  /** Drop what is held back, and its timers. */
  close(): void {
    for (const held of this.#held.values()) held.stop();
    this.#held.clear();
    this.#listeners.clear();
  }

  #hold(key: string, ms: number): void {
    const stop = this.#clock.after(ms, () => {
      const next = this.#held.get(key)?.next;
      this.#held.delete(key);
      if (!next) return;
      this.#send(next);
      this.#hold(key, ms);
    });
    this.#held.set(key, { next: undefined, stop });
  }

  #send(event: QmpEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function now(): QmpEvent['timestamp'] {
  const ms = performance.timeOrigin + performance.now();
  return { seconds: Math.floor(ms / 1000), microseconds: Math.floor((ms % 1000) * 1000) };
}
