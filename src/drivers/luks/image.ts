/** The open volume: requests come in whole sectors, and go on shifted and encrypted. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import {
  type AmendCapability,
  Flag,
  type Flags,
  type Image,
  type Limits,
  type TruncateOptions,
} from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { Perm, type PermPair } from '../../core/block/permissions-bits.ts';
import {
  amendSlots,
  type LuksAmendOptions,
  type LuksVolume,
  luksInfo,
  SECTOR,
  type SectorCipher,
} from '../../core/crypto/index.ts';

/** Longest request in bytes: what is encrypted at a time takes as much memory again. */
const MAX_TRANSFER = 4 * 1024 * 1024;

export interface LuksParts {
  readonly file: Edge;
  readonly volume: LuksVolume;
  readonly detached: boolean;
  /** Absent when only the header is looked at. */
  readonly cipher?: SectorCipher;
  readonly password?: Uint8Array;
}

export class LuksImage implements Image {
  readonly writeFlags = Flag.FUA | Flag.UNCHANGED;
  /** Zeroes on the medium decrypt to noise. */
  readonly readsZeroWhenFresh = false;
  readonly limits: Limits;
  readonly amend: AmendCapability;
  readonly #parts: LuksParts;
  readonly #start: number;

  constructor(parts: LuksParts) {
    this.#parts = parts;
    this.#start = parts.volume.payloadOffset;
    const { requestAlignment = 1 } = parts.file.limits;
    this.limits = { requestAlignment: Math.max(SECTOR, requestAlignment), maxTransfer: MAX_TRANSFER };
    this.amend = {
      run: (options, { force, object }) =>
        amendSlots(parts.volume, options as LuksAmendOptions, {
          force,
          password: parts.password,
          secret: (id) => object('secret', id),
        }),
    };
  }

  get size(): number {
    return Math.max(0, this.#parts.file.size - this.#start);
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    const cipher = this.#cipher();
    return after(this.#parts.file.read(this.#start + offset, buf), () => cipher.decrypt(offset / SECTOR, buf));
  }

  write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const encrypted = this.#cipher().encrypt(offset / SECTOR, buf);
    return this.#parts.file.write(this.#start + offset, encrypted, flags);
  }

  flush(): Maybe<void> {
    return this.#parts.file.flush();
  }

  truncate(size: number, options: TruncateOptions): Promise<void> {
    return this.#parts.file.truncate(this.#start + size, options);
  }

  info(): ReturnType<NonNullable<Image['info']>> {
    const { volume, detached } = this.#parts;
    const data = luksInfo(volume.header, volume.spec, { 'detached-header': detached });
    return { encrypted: true, specific: { type: 'luks', data } };
  }

  /**
   * Data goes to the file where the users of this node write, and nothing else does but changes of key slots. So the
   * file is needed as its users need this node, and others may write to it where they may write to this node.
   */
  childPermissions(name: string, users: PermPair, usual: PermPair): PermPair {
    const changes = Perm.WRITE | Perm.RESIZE;
    if (name !== 'file') return { perm: (usual.perm & ~changes) | (users.perm & Perm.WRITE), shared: usual.shared };
    return {
      perm: (usual.perm & ~changes) | (users.perm & changes),
      shared: usual.shared | (users.shared & changes),
    };
  }

  async close(): Promise<void> {}

  #cipher(): SectorCipher {
    const { cipher } = this.#parts;
    if (!cipher) throw new Error('a volume that was opened without its key is read or written');
    return cipher;
  }
}
