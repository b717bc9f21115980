/**
 * The way of guest data to the file. Without encryption that is the edge itself; with it, sectors are encrypted by their
 * place in the file (LUKS), or by their place on the disk (the AES of old).
 */
import { after, type Maybe } from '../../../core/async/maybe.ts';
import type { Edge } from '../../../core/block/graph/edge.ts';
import { SECTOR, type SectorCipher } from '../../../core/crypto/index.ts';

/** `guest` is where on the disk the data belongs, in bytes; what an edge takes comes before it. */
export interface DataPath {
  read(host: number, buf: Uint8Array, guest: number): Maybe<void>;
  readv(host: number, bufs: readonly Uint8Array[], guest: number): Maybe<void>;
  write(host: number, buf: Uint8Array, flags: 0, guest: number): Maybe<void>;
  writev(host: number, bufs: readonly Uint8Array[], flags: 0, guest: number): Maybe<void>;
  zero(host: number, length: number, flags: 0, guest: number): Maybe<void>;
}

/** Bytes encrypted at a time. */
const PIECE = 2 * 1024 * 1024;

/** All requests are whole sectors, as the limits of an encrypted image have it. */
export class EncryptedData implements DataPath {
  readonly #data: Edge;
  readonly #cipher: SectorCipher;
  /** The number of a sector is that on the disk, not that in the file. */
  readonly #byGuest: boolean;

  constructor(data: Edge, cipher: SectorCipher, byGuest: boolean) {
    this.#data = data;
    this.#cipher = cipher;
    this.#byGuest = byGuest;
  }

  read(host: number, buf: Uint8Array, guest: number): Maybe<void> {
    return after(this.#data.read(host, buf), () => this.#cipher.decrypt(this.#sector(host, guest), buf));
  }

  readv(host: number, bufs: readonly Uint8Array[], guest: number): Maybe<void> {
    const [only] = bufs;
    if (bufs.length === 1 && only) return this.read(host, only, guest);
    // Buffers may end within a sector: it is decrypted as one.
    const whole = Buffer.allocUnsafeSlow(bufs.reduce((sum, buf) => sum + buf.length, 0));
    return after(this.read(host, whole, guest), () => {
      let at = 0;
      for (const buf of bufs) {
        buf.set(whole.subarray(at, at + buf.length));
        at += buf.length;
      }
    });
  }

  write(host: number, buf: Uint8Array, _flags: 0, guest: number): Maybe<void> {
    return this.#data.write(host, this.#cipher.encrypt(this.#sector(host, guest), buf));
  }

  writev(host: number, bufs: readonly Uint8Array[], flags: 0, guest: number): Maybe<void> {
    const [only] = bufs;
    return this.write(host, bufs.length === 1 && only ? only : Buffer.concat(bufs), flags, guest);
  }

  #sector(host: number, guest: number): number {
    return (this.#byGuest ? guest : host) / SECTOR;
  }

  zero(host: number, length: number, flags: 0, guest: number): Maybe<void> {
    const zeroes = new Uint8Array(Math.min(length, PIECE));
    const step = (at: number): Maybe<void> => {
      if (at >= length) return;
      const piece = zeroes.subarray(0, Math.min(PIECE, length - at));
      return after(this.writev(host + at, [piece], flags, guest + at), () => step(at + piece.length));
    };
    return step(0);
  }
}
