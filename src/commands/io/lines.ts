/** Lines out of a stream of bytes that may hold anything. */

/** Longest line of a script in bytes. */
export const MAX_LINE = 1 << 20;
const TOO_LONG = `is longer than ${MAX_LINE} bytes`;
const NEWLINE = 10;

/** A line that no command can be made of, and why. */
export class BadLine {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

export class LineSplitter {
  #text = '';
  #at = 0;
  #hasNul = false;
  #number = 0;
  #rest: Buffer[] = [];
  #restLength = 0;
  /** The line that `rest` would hold is too long already; the rest of it is dropped. */
  #tooLong = false;
  /** A line that was too long ended before the text. */
  #endedTooLong = false;

  /** The next whole line, without its newline; undefined when more input is needed. */
  next(): string | BadLine | undefined {
    if (this.#endedTooLong) {
      this.#endedTooLong = false;
      return this.#bad(TOO_LONG);
    }
    if (this.#at >= this.#text.length) return undefined;
    const end = this.#text.indexOf('\n', this.#at);
    const line = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    if (line.length > MAX_LINE) return this.#bad(TOO_LONG);
    if (this.#hasNul && line.includes('\0')) return this.#bad('holds a NUL byte');
    this.#number++;
    return line;
  }

  #bad(reason: string): BadLine {
    this.#number++;
    return new BadLine(`line ${this.#number} ${reason}`);
  }

  /** More input; all lines before it have been taken. The bytes may be overwritten afterwards. */
  push(chunk: Uint8Array): void {
    const end = chunk.lastIndexOf(NEWLINE);
    if (end >= 0) this.#take(chunk.subarray(0, end + 1));
    this.#keep(chunk.subarray(end + 1));
  }

  /** The input has ended; what is left counts as a line. */
  end(): void {
    if (this.#restLength > 0 || this.#tooLong) this.push(Uint8Array.of(NEWLINE));
  }

  #take(lines: Uint8Array): void {
    let whole = lines;
    if (this.#tooLong) {
      whole = lines.subarray(lines.indexOf(NEWLINE) + 1);
      this.#tooLong = false;
      this.#endedTooLong = true;
    }
    const bytes = this.#rest.length > 0 ? Buffer.concat([...this.#rest, whole]) : whole;
    this.#rest = [];
    this.#restLength = 0;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
    this.#at = 0;
    this.#hasNul = this.#text.includes('\0');
  }

  #keep(part: Uint8Array): void {
    if (part.length === 0 || this.#tooLong) return;
    this.#restLength += part.length;
    if (this.#restLength <= MAX_LINE) {
      this.#rest.push(Buffer.from(part));
      return;
    }
    this.#tooLong = true;
    this.#rest = [];
    this.#restLength = 0;
  }
}
