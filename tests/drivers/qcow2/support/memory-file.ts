/** A host file in memory: sparse, optionally slow, optionally logging all that changes it. */
import fs from 'node:fs';
import type { Maybe } from '../../../../src/core/async/maybe.ts';
import type { Extent, Image, TruncateOptions } from '../../../../src/core/block/driver.ts';

const PAGE = 1 << 16;

export type LogEntry =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'zero'; readonly offset: number; readonly length: number }
  | { readonly kind: 'truncate'; readonly size: number }
  /** All entries before `covers` are stable. */
  | { readonly kind: 'flush'; readonly covers: number };

export class MemoryFile implements Image {
  readonly pages = new Map<number, Buffer>();
  size = 0;
  log: LogEntry[] | undefined;
  /** Turns of the event loop that the next request takes; 0 completes at once. */
  delay: () => number = () => 0;
  readonly zeroFlags = 2;
  readonly counts = { reads: 0, writes: 0, flushes: 0, zeroes: 0, discards: 0, bytesWritten: 0 };
  /** Makes the next matching request fail. */
  failure: ((kind: 'read' | 'write' | 'flush', offset: number, length: number) => boolean) | undefined;

  static load(path: string): MemoryFile {
    const file = new MemoryFile();
    const bytes = fs.readFileSync(path);
    file.apply(0, bytes);
    file.size = bytes.length;
    return file;
  }

  clone(): MemoryFile {
    const copy = new MemoryFile();
    for (const [key, page] of this.pages) copy.pages.set(key, Buffer.from(page));
    copy.size = this.size;
    return copy;
  }

  save(path: string): void {
    const fd = fs.openSync(path, 'w');
    fs.ftruncateSync(fd, this.size);
    for (const [key, page] of this.pages) {
      const length = Math.min(PAGE, this.size - key * PAGE);
      if (length > 0) fs.writeSync(fd, page, 0, length, key * PAGE);
    }
    fs.closeSync(fd);
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    this.counts.reads++;
    return this.#later('read', offset, buf.length, () => this.peek(offset, buf));
  }

  peek(offset: number, buf: Uint8Array): void {
    for (let at = 0; at < buf.length; ) {
      const key = Math.floor((offset + at) / PAGE);
      const from = offset + at - key * PAGE;
      const length = Math.min(PAGE - from, buf.length - at);
      const page = this.pages.get(key);
      if (page) buf.set(page.subarray(from, from + length), at);
      else buf.fill(0, at, at + length);
      at += length;
    }
  }

  write(offset: number, buf: Uint8Array): Maybe<void> {
    this.counts.writes++;
    this.counts.bytesWritten += buf.length;
    return this.#later('write', offset, buf.length, () => {
      this.log?.push({ kind: 'write', offset, bytes: Buffer.from(buf) });
      this.apply(offset, buf);
    });
  }

  writev(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    return this.write(offset, Buffer.concat(bufs));
  }

  apply(offset: number, buf: Uint8Array): void {
    for (let at = 0; at < buf.length; ) {
      const key = Math.floor((offset + at) / PAGE);
      const from = offset + at - key * PAGE;
      const length = Math.min(PAGE - from, buf.length - at);
      let page = this.pages.get(key);
      if (!page) {
        page = Buffer.alloc(PAGE);
        this.pages.set(key, page);
      }
      page.set(buf.subarray(at, at + length), from);
      at += length;
    }
    this.size = Math.max(this.size, offset + buf.length);
  }

  zero(offset: number, length: number): Maybe<void> {
    this.counts.zeroes++;
    return this.#later('write', offset, length, () => {
      this.log?.push({ kind: 'zero', offset, length });
      this.applyZero(offset, length);
      this.size = Math.max(this.size, offset + length);
    });
  }

  applyZero(offset: number, length: number): void {
    for (let at = offset; at < offset + length; ) {
      const key = Math.floor(at / PAGE);
      const stop = Math.min((key + 1) * PAGE, offset + length);
      if (stop - at === PAGE) this.pages.delete(key);
      else this.pages.get(key)?.fill(0, at - key * PAGE, stop - key * PAGE);
      at = stop;
    }
  }

  /** What was discarded reads as rubbish, so that nobody relies on it. */
  discard(offset: number, length: number): Maybe<void> {
    this.counts.discards++;
    const inside = Math.min(length, this.size - offset);
    if (inside <= 0) return;
    return this.#later('write', offset, length, () => {
      const rubbish = Buffer.alloc(inside, 0xdd);
      this.log?.push({ kind: 'write', offset, bytes: rubbish });
      this.apply(offset, rubbish);
    });
  }

  flush(): Maybe<void> {
    this.counts.flushes++;
    const covers = this.log?.length ?? 0;
    return this.#later('flush', 0, 0, () => {
      this.log?.push({ kind: 'flush', covers });
    });
  }

  async truncate(size: number, _options: TruncateOptions): Promise<void> {
    this.log?.push({ kind: 'truncate', size });
    this.applyTruncate(size);
  }

  applyTruncate(size: number): void {
    if (size < this.size) this.applyZero(size, this.size - size);
    this.size = size;
  }

  status(offset: number, length: number): Extent {
    return { length, allocated: true, data: true, zero: false, offset };
  }

  async close(): Promise<void> {}

  #later(kind: 'read' | 'write' | 'flush', offset: number, length: number, action: () => void): Maybe<void> {
    if (this.failure?.(kind, offset, length)) throw Object.assign(new Error('injected'), { code: 'EIO' });
    const turns = this.delay();
    if (turns <= 0) return action();
    return wait(turns).then(action);
  }
}

async function wait(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((wake) => setImmediate(wake));
}
