import { all, type Maybe } from '../../core/async/maybe.ts';

/** A place in the order in which requests take space. */
export class Turn {
  /** Nothing when all before it have passed, else a promise of that. */
  readonly ready: Maybe<void>;
  #isReady = true;
  #hasPassed = false;
  #passing: Promise<void> | undefined;
  #wake: () => void = () => undefined;

  constructor(before: Turn | undefined) {
    const ready = before?.over();
    this.ready = ready;
    if (!ready) return;
    this.#isReady = false;
    void ready.then(() => {
      this.#isReady = true;
    });
  }

  /** Nothing when it and all before it have passed, else a promise of that. */
  over(): Maybe<void> {
    if (this.#isReady && this.#hasPassed) return;
    return all([this.ready, this.#hasPassed ? undefined : this.#whenPassed()]);
  }

  #whenPassed(): Promise<void> {
    this.#passing ??= new Promise((resolve) => {
      this.#wake = resolve;
    });
    return this.#passing;
  }

  /** It has the space that it needs, or will need none: the next one may go on. May be called again. */
  pass(): void {
    this.#hasPassed = true;
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
