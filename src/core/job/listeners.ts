/** Typed listeners: one list per event, called in the order they were added. */
export class Listeners<E extends object> {
  readonly #lists = new Map<keyof E, Set<(event: never) => void>>();

  /** Have `listener` called for each event of that name; returns how to stop that. */
  on<K extends keyof E>(name: K, listener: (event: E[K]) => void): () => void {
    const list = this.#lists.get(name) ?? new Set();
    this.#lists.set(name, list);
    list.add(listener);
    return () => void list.delete(listener);
  }

  emit<K extends keyof E>(name: K, event: E[K]): void {
    const list = this.#lists.get(name) as Set<(event: E[K]) => void> | undefined;
    if (list) for (const listener of list) listener(event);
  }
}
