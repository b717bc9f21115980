/** A file for a repair that changes nothing: what is written stays in memory and is found again when read. */
import { after, type Maybe } from '../../../core/async/maybe.ts';
import type { CheckedFile } from '../check/state.ts';

const PAGE = 4096;

export class DryRunFile implements CheckedFile {
  readonly #file: CheckedFile;
  readonly #pages = new Map<number, Uint8Array>();
  #size: number;

  constructor(file: CheckedFile) {
    this.#file = file;
    this.#size = file.size;
  }

  get size(): number {
    return this.#size;
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    return after(offset < this.#file.size ? this.#file.read(offset, buf) : void buf.fill(0), () => {
      if (this.#pages.size > 0) this.#overlay(offset, buf);
    });
  }

  #overlay(offset: number, buf: Uint8Array): void {
    for (let at = 0; at < buf.length; ) {
      const index = Math.floor((offset + at) / PAGE);
      const inPage = offset + at - index * PAGE;
      const length = Math.min(PAGE - inPage, buf.length - at);
      const page = this.#pages.get(index);
      if (page) buf.set(page.subarray(inPage, inPage + length), at);
      at += length;
    }
  }

  async write(offset: number, buf: Uint8Array): Promise<void> {
    for (let at = 0; at < buf.length; ) {
      const index = Math.floor((offset + at) / PAGE);
      const inPage = offset + at - index * PAGE;
      const length = Math.min(PAGE - inPage, buf.length - at);
      const page = this.#pages.get(index) ?? (await this.#load(index));
      page.set(buf.subarray(at, at + length), inPage);
      at += length;
    }
    this.#size = Math.max(this.#size, offset + buf.length);
  }

  async #load(index: number): Promise<Uint8Array> {
    const page = new Uint8Array(PAGE);
    if (index * PAGE < this.#file.size) await this.#file.read(index * PAGE, page);
    this.#pages.set(index, page);
    return page;
  }

  discard(): void {}

  flush(): void {}
}
