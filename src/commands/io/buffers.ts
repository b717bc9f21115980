/** Largest buffer that is kept for the next command, in bytes. */
const KEEP = 4 << 20;
/** How far a buffer is moved off its alignment with `-m`, in bytes. */
const MISALIGNMENT = 16;

/** Memory for requests. One buffer is kept for commands that end before the next one begins. */
export class Buffers {
  readonly #shift: number;
  #kept: Buffer | undefined;
  #view: Buffer | undefined;

  /** @param misaligned every buffer begins 16 bytes off, to try what drivers do with that. */
  constructor(misaligned: boolean) {
    this.#shift = misaligned ? MISALIGNMENT : 0;
  }

  /** For a command that is over before the next begins; holds whatever it held before. */
  brief(length: number): Buffer {
    if (this.#view?.length === length) return this.#view;
    if (length > KEEP) return this.lasting(length);
    if (!this.#kept || this.#kept.length < length + this.#shift) {
      this.#kept = Buffer.allocUnsafeSlow(Math.max(length + this.#shift, 64 * 1024));
    }
    this.#view = this.#kept.subarray(this.#shift, this.#shift + length);
    return this.#view;
  }

  /** For a request that goes on while other commands run. */
  lasting(length: number): Buffer {
    return Buffer.allocUnsafeSlow(length + this.#shift).subarray(this.#shift);
  }
}
