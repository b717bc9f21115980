/** The place of a failure that is no matter of the disk. */
export const BEFORE_ALL = -1;

/**
 * Of the failures of what goes on side by side, the one at the lowest place: what is before it is under way when it
 * comes, and may fail too. So which one is told does not depend on which ended first.
 */
export class FirstFailure {
  #first: { readonly place: number; readonly error: unknown } | undefined;

  get isThere(): boolean {
    return this.#first !== undefined;
  }

  /** Something before `place` has failed. */
  isBefore(place: number): boolean {
    return this.#first !== undefined && this.#first.place < place;
  }

  /** Whether it is the first so far. */
  note(place: number, error: unknown): boolean {
    if (this.#first && this.#first.place <= place) return false;
    this.#first = { place, error };
    return true;
  }

  throwIfThere(): void {
    if (this.#first) throw this.#first.error;
  }
}
