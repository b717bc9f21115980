/** Bytes that are kept for later requests. */
const KEPT_BYTES = 16 * 1024 * 1024;

/** Buffers that serve again. Their lengths are those that requests ask for. */
export class BufferPool {
  readonly #free = new Map<number, Buffer[]>();
  #kept = 0;

  take(length: number): Buffer {
    const found = this.#free.get(length)?.pop();
    if (!found) return Buffer.allocUnsafeSlow(length);
    this.#kept -= length;
    return found;
  }

  give(buffer: Buffer): void {
    if (this.#kept + buffer.length > KEPT_BYTES) return;
    const list = this.#free.get(buffer.length);
    if (list) list.push(buffer);
    else this.#free.set(buffer.length, [buffer]);
    this.#kept += buffer.length;
  }
}
