import type { Io } from '../cli/io.ts';

/** Characters that are kept back before they are written. */
const LIMIT = 32 * 1024;

/**
 * Output of commands, written in large pieces: a script of a million short commands must not make a system
 * call for each. An error comes out behind what was printed before it.
 */
export class Printer {
  readonly #io: Io;
  #text = '';

  constructor(io: Io) {
    this.#io = io;
  }

  /** Nobody reads any more. */
  get closed(): boolean {
    return this.#io.stdout.closed;
  }

  print(text: string): void {
    this.#text += text;
    if (this.#text.length >= LIMIT) this.flush();
  }

  /** A line on standard error, as it is. */
  error(line: string): void {
    this.flush();
    this.#io.stderr.write(`${line}\n`);
  }

  /** Called wherever a reader might wait for what was printed. */
  flush(): void {
    if (this.#text === '') return;
    const text = this.#text;
    this.#text = '';
    this.#io.stdout.write(text);
  }
}
