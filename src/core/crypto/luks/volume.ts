/**
 * An encrypted volume by its header: opening it with a password, and giving and taking passwords.
 *
 * Where the header lies is the caller's matter (the start of a file, a file of its own, clusters of a qcow2 image): it
 * hands in a {@link HeaderArea}. Order of writes: key material is stable before the header says that its slot is used,
 * and the header is stable in saying that a slot is free before the material is destroyed. So a crash leaves every
 * password either usable or gone, and the volume as accessible as the header of that moment says.
 */

import type { Maybe } from '../../async/maybe.ts';
import { nodeCrypto } from '../../bytes/node-crypto.ts';
import { BlockError, CorruptImage } from '../../errors/block-error.ts';
import type { SectorCipher } from '../sector-cipher.ts';
import { afMerge, afSplit } from './anti-forensic.ts';
import { assertHash, type CipherSpec, keyLength, makeCipher, readSpec, spellSpec } from './ciphers.ts';
import {
  DIGEST_BYTES,
  decodeLuksHeader,
  encodeLuksHeader,
  HEADER_BYTES,
  type KeySlot,
  LUKS_SECTOR,
  type LuksHeader,
  layOutHeader,
  materialBytes,
  SALT_BYTES,
  SlotState,
  STRIPES,
  validateLuksHeader,
} from './header.ts';
import { deriveKey, iterationsFor, iterationsPerSecond } from './pbkdf.ts';

/** The bytes that hold header and key material, from 0. */
export interface HeaderArea {
  /** Bytes that can be read. */
  readonly length: number;
  read(offset: number, buf: Uint8Array): Maybe<void>;
  write(offset: number, buf: Uint8Array): Maybe<void>;
  /** What was written before is on stable storage. */
  flush(): Maybe<void>;
}

/** What a new volume is made with. */
export interface NewVolume extends CipherSpec {
  readonly hash: string;
  /** Milliseconds that trying a password is to take on this machine. */
  readonly iterTime: number;
  /** The header lies apart from the data. */
  readonly detached?: boolean;
}

/** Part of the time that checking the master key takes of that for a password. */
const DIGEST_PART = 8;
/** Bytes reserved for header and key material, without the data behind it. */
export function headerBytes(spec: CipherSpec): number {
  return layOutHeader(keyLength(spec)).end * LUKS_SECTOR;
}

export class LuksVolume {
  readonly #area: HeaderArea;
  readonly #fileName: string;
  #header: LuksHeader;

  private constructor(area: HeaderArea, fileName: string, header: LuksHeader) {
    this.#area = area;
    this.#fileName = fileName;
    this.#header = header;
  }

  /** Read and check the header; no password is needed for that. @throws BlockError */
  static async open(area: HeaderArea, fileName: string): Promise<LuksVolume> {
    const bytes = new Uint8Array(Math.min(HEADER_BYTES, area.length));
    await area.read(0, bytes);
    const header = decodeLuksHeader(bytes, fileName);
    validateLuksHeader(header, fileName);
    return new LuksVolume(area, fileName, header);
  }

  /** Write the header of a new volume, with one password. Returns it and the key that it protects. */
  static async create(area: HeaderArea, password: Uint8Array, volume: NewVolume): Promise<LuksVolume> {
    assertHash(volume.hash);
    const length = keyLength(volume);
    const masterKey = nodeCrypto().randomBytes(length);
    makeCipher(volume, masterKey); // refuses what cannot be computed before anything is written
    const layout = layOutHeader(length);
    const rate = iterationsPerSecond(volume.hash, DIGEST_BYTES);
    const digest = {
      hash: volume.hash,
      salt: nodeCrypto().randomBytes(SALT_BYTES),
      iterations: iterationsFor(rate, volume.iterTime, DIGEST_PART),
      length: DIGEST_BYTES,
    };
    const header: LuksHeader = {
      ...spellSpec(volume),
      hashSpec: volume.hash,
      payloadOffset: volume.detached ? 0 : layout.end,
      keyBytes: length,
      mkDigest: await deriveKey(masterKey, digest),
      mkDigestSalt: digest.salt,
      mkDigestIterations: digest.iterations,
      uuid: nodeCrypto().randomUUID(),
      slots: layout.slots.map((keyMaterialOffset) => ({ ...FREE, keyMaterialOffset })),
    };
    const made = new LuksVolume(area, 'the new image', header);
    await made.#store(masterKey, { slot: 0, password, iterTime: volume.iterTime });
    return made;
  }

  get header(): LuksHeader {
    return this.#header;
  }

  /** Where the data begins, in bytes; 0 for a detached header. */
  get payloadOffset(): number {
    return this.#header.payloadOffset * LUKS_SECTOR;
  }

  get spec(): CipherSpec {
    const { cipherName, cipherMode, keyBytes } = this.#header;
    return readSpec(cipherName, cipherMode, keyBytes);
  }

  /** The cipher of the data. @throws NotSupported for algorithms that are not there. */
  cipher(masterKey: Uint8Array): SectorCipher {
    return makeCipher(this.spec, masterKey);
  }

  /** The master key. @throws BlockError with code EPERM when the password fits no key slot. */
  async unlock(password: Uint8Array): Promise<Uint8Array> {
    for (const slot of this.activeSlots()) {
      const key = await this.#try(slot, password);
      if (key) return key;
    }
    throw new BlockError('the password opens no key slot', { code: 'EPERM' });
  }

  activeSlots(): number[] {
    return this.#header.slots.flatMap((slot, index) => (slot.state === SlotState.ACTIVE ? index : []));
  }

  /** The active slots that the password opens. */
  async matchingSlots(password: Uint8Array): Promise<number[]> {
    const found: number[] = [];
    for (const slot of this.activeSlots()) if (await this.#try(slot, password)) found.push(slot);
    return found;
  }

  async matches(slot: number, password: Uint8Array): Promise<boolean> {
    return (await this.#try(slot, password)) !== undefined;
  }

  /** Let `password` open the volume, by key slot `slot`, whatever that held. */
  async setSlot(masterKey: Uint8Array, request: SlotRequest): Promise<void> {
    if (this.#slot(request.slot).state === SlotState.ACTIVE) await this.eraseSlot(request.slot);
    await this.#store(masterKey, request);
  }

  /** Make key slot `slot` free, and what it held unreadable. */
  async eraseSlot(slot: number): Promise<void> {
    const { keyMaterialOffset } = this.#slot(slot);
    await this.#writeHeader(slot, { ...FREE, keyMaterialOffset });
    await this.#area.write(
      keyMaterialOffset * LUKS_SECTOR,
      nodeCrypto().randomBytes(materialBytes(this.#header.keyBytes)),
    );
    await this.#area.flush();
  }

  async #store(masterKey: Uint8Array, { slot, password, iterTime }: SlotRequest): Promise<void> {
    const { hashSpec, keyBytes } = this.#header;
    const { keyMaterialOffset } = this.#slot(slot);
    const salt = nodeCrypto().randomBytes(SALT_BYTES);
    const iterations = iterationsFor(iterationsPerSecond(hashSpec, keyBytes), iterTime);
    const slotKey = await deriveKey(password, { hash: hashSpec, salt, iterations, length: keyBytes });
    const split = afSplit(masterKey, STRIPES, hashSpec);
    await this.#area.write(keyMaterialOffset * LUKS_SECTOR, this.cipher(slotKey).encrypt(0, split));
    await this.#area.flush();
    const used = { state: SlotState.ACTIVE, iterations, salt, keyMaterialOffset, stripes: STRIPES };
    await this.#writeHeader(slot, used);
  }

  async #writeHeader(index: number, slot: KeySlot): Promise<void> {
    const header = { ...this.#header, slots: this.#header.slots.with(index, slot) };
    await this.#area.write(0, encodeLuksHeader(header));
    await this.#area.flush();
    this.#header = header;
  }

  /** The master key if `password` fits this slot. */
  async #try(index: number, password: Uint8Array): Promise<Uint8Array | undefined> {
    const { hashSpec, keyBytes, mkDigest, mkDigestSalt, mkDigestIterations } = this.#header;
    assertHash(hashSpec);
    const { iterations, salt, keyMaterialOffset } = this.#slot(index);
    const material = new Uint8Array(materialBytes(keyBytes));
    const end = keyMaterialOffset * LUKS_SECTOR + material.length;
    if (end > this.#area.length) {
      throw new CorruptImage(
        `'${this.#fileName}': key slot ${index} ends at ${end}, past the end of the header at ${this.#area.length}`,
      );
    }
    await this.#area.read(keyMaterialOffset * LUKS_SECTOR, material);
    const slotKey = await deriveKey(password, { hash: hashSpec, salt, iterations, length: keyBytes });
    this.cipher(slotKey).decrypt(0, material);
    const masterKey = afMerge(material, keyBytes, STRIPES, hashSpec);
    const digest = await deriveKey(masterKey, {
      hash: hashSpec,
      salt: mkDigestSalt,
      iterations: mkDigestIterations,
      length: DIGEST_BYTES,
    });
    return nodeCrypto().timingSafeEqual(digest, mkDigest) ? masterKey : undefined;
  }

  #slot(index: number): KeySlot {
    const slot = this.#header.slots[index];
    if (!slot) throw new RangeError(`key slot ${index}`);
    return slot;
  }
}

export interface SlotRequest {
  readonly slot: number;
  readonly password: Uint8Array;
  /** Milliseconds that trying it is to take. */
  readonly iterTime: number;
}

const FREE: Omit<KeySlot, 'keyMaterialOffset'> = {
  state: SlotState.INACTIVE,
  iterations: 0,
  salt: new Uint8Array(SALT_BYTES),
  stripes: STRIPES,
};
