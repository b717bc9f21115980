import { all, type Maybe } from '../../core/async/maybe.ts';

/** A place in the order in which requests take space. */
export class Turn {
  /** Nothing when all before it have passed, else a promise of that. */
  readonly ready: Maybe<void>;
  #passed = false;
  #passing: Promise<void> | undefined;
  #wake: () => void = () => undefined;

  constructor(before: Turn | undefined) {
    this.ready = before && all([before.ready, before.#whenPassed()]);
  }

  #whenPassed(): Maybe<void> {
    if (this.#passed) return;
    this.#passing ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    return this.#passing;
  }

  /** It has the space that it needs, or will need none: the next one may go on. May be called again. */
  pass(): void {
    this.#passed = true;
    this.#wake();
  }
}

/** Gives out turns, in the order in which they are taken. */
export class Turns {
  #last: Turn | undefined;

  take(): Turn {
    const turn = new Turn(this.#last);
    this.#last = turn;
    return turn;
  }
}
