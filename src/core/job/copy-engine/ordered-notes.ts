/** What there is to say of segments, told in their order, in whatever order they end. */
export class OrderedNotes {
  readonly #tell: (note: string) => void;
  /** The first segment that has not ended: what there is to say of it can be told at once. */
  #next = 0;
  readonly #ended = new Set<number>();
  readonly #kept = new Map<number, string[]>();

  constructor(tell: (note: string) => void) {
    this.#tell = tell;
  }

  /** Of the segment with this index, which has not ended. */
  note(index: number, note: string): void {
    const before = this.#kept.get(index);
    if (index === this.#next) this.#tell(note);
    else if (before) before.push(note);
    else this.#kept.set(index, [note]);
  }

  /** Called once for each segment. */
  end(index: number): void {
    this.#ended.add(index);
    while (this.#ended.delete(this.#next)) this.#tellOf(++this.#next);
  }

  /** No more segments are going to end. */
  tellRest(): void {
    for (const index of [...this.#kept.keys()].sort((a, b) => a - b)) this.#tellOf(index);
  }

  #tellOf(index: number): void {
    for (const note of this.#kept.get(index) ?? []) this.#tell(note);
    this.#kept.delete(index);
  }
}
