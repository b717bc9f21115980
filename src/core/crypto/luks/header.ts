/**
 * The header of LUKS version 1 (LUKS On-Disk Format Specification 1.2.3, section 3): 592 bytes, big-endian, of which
 * eight key slots are the last part. What a header says is bounded here before anything is read or computed for it.
 */
import { fixedText, raw, struct, u16, u32 } from '../../bytes/struct.ts';
import { BlockError, CorruptImage, NotSupported, WrongFormat } from '../../errors/block-error.ts';
import { MAX_ITERATIONS } from './pbkdf.ts';

export const LUKS_SECTOR = 512;
export const SLOTS = 8;
export const STRIPES = 4000;
export const SALT_BYTES = 32;
export const DIGEST_BYTES = 20;
/** `LUKS\xba\xbe` */
const MAGIC = Uint8Array.of(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe);
const VERSION = 1;
const MAX_KEY_BYTES = 64;

export const SlotState = { INACTIVE: 0x0000dead, ACTIVE: 0x00ac71f3 } as const;

const SLOT = struct('LUKS key slot', 'big', 48, {
  state: u32(0),
  iterations: u32(4),
  salt: raw(8, SALT_BYTES),
  /** Sectors from the start of the header. */
  keyMaterialOffset: u32(40),
  stripes: u32(44),
});

const HEADER = struct('LUKS header', 'big', 592, {
  magic: raw(0, 6),
  version: u16(6),
  cipherName: fixedText(8, 32),
  cipherMode: fixedText(40, 32),
  hashSpec: fixedText(72, 32),
  /** Sectors; 0 where the header lies apart from the data. */
  payloadOffset: u32(104),
  keyBytes: u32(108),
  mkDigest: raw(112, DIGEST_BYTES),
  mkDigestSalt: raw(132, SALT_BYTES),
  mkDigestIterations: u32(164),
  uuid: fixedText(168, 40),
  slots: raw(208, 48 * SLOTS),
});

export const HEADER_BYTES = HEADER.size;

export type KeySlot = { -readonly [K in keyof ReturnType<typeof SLOT.decode>]: ReturnType<typeof SLOT.decode>[K] };
type Fields = Omit<ReturnType<typeof HEADER.decode>, 'magic' | 'version' | 'slots'>;
export interface LuksHeader extends Fields {
  readonly slots: readonly KeySlot[];
}

/** Do these first bytes of a file begin a LUKS header, and of which version. */
export function luksVersion(head: Uint8Array): number | undefined {
  if (head.length < 8 || !MAGIC.every((byte, at) => head[at] === byte)) return undefined;
  return ((head[6] ?? 0) << 8) | (head[7] ?? 0);
}

/** @throws WrongFormat, NotSupported for version 2, CorruptImage for what no header can say. */
export function decodeLuksHeader(bytes: Uint8Array, fileName: string): LuksHeader {
  const version = luksVersion(bytes);
  if (version === undefined) throw new WrongFormat(`'${fileName}' does not begin with a LUKS header`);
  if (version !== VERSION) {
    throw new NotSupported(`'${fileName}': LUKS version ${version} is not supported, only version ${VERSION}`);
  }
  if (bytes.length < HEADER.size) {
    throw new CorruptImage(`'${fileName}': the LUKS header is cut off after ${bytes.length} of ${HEADER.size} bytes`);
  }
  for (const name of ['cipherName', 'cipherMode', 'hashSpec'] as const) {
    const at = HEADER.offsets[name];
    if (!bytes.subarray(at, at + 32).includes(0)) {
      throw new CorruptImage(`'${fileName}': the ${FIELD_NAMES[name]} of the LUKS header has no end`);
    }
  }
  const { slots, ...fields } = HEADER.decode(bytes);
  return { ...fields, slots: Array.from({ length: SLOTS }, (_, index) => SLOT.decode(slots, index * SLOT.size)) };
}

const FIELD_NAMES = { cipherName: 'cipher name', cipherMode: 'cipher mode', hashSpec: 'hash name' } as const;

export function encodeLuksHeader(header: LuksHeader): Uint8Array {
  const slots = new Uint8Array(SLOT.size * SLOTS);
  header.slots.forEach((slot, index) => {
    SLOT.encode(slot, slots, index * SLOT.size);
  });
  return HEADER.encode({ ...header, magic: MAGIC, version: VERSION, slots });
}

/** Bytes of key material of a slot: the key, split into stripes. */
export function materialBytes(keyBytes: number, stripes = STRIPES): number {
  return keyBytes * stripes;
}

/** Refuse what would read elsewhere, take forever, or destroy one part by writing another. */
export function validateLuksHeader(header: LuksHeader, fileName: string): void {
  const fail = (field: string, value: number, limit: string): never => {
    throw new CorruptImage(`'${fileName}': ${field} of the LUKS header is ${value}, ${limit}`, {
      code: 'EINVAL',
      data: { field, value },
    });
  };
  const { keyBytes, payloadOffset, mkDigestIterations } = header;
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES || keyBytes % 8 !== 0) {
    fail('key-bytes', keyBytes, `allowed are multiples of 8 up to ${MAX_KEY_BYTES}`);
  }
  checkIterations('mk-digest-iterations', mkDigestIterations, fail);
  const headerSectors = Math.ceil(HEADER.size / LUKS_SECTOR);
  if (payloadOffset !== 0 && payloadOffset < headerSectors) {
    fail('payload-offset', payloadOffset, 'which lies in the header itself');
  }
  header.slots.forEach((slot, index) => {
    const name = `key slot ${index}`;
    const active = slot.state === SlotState.ACTIVE;
    if (!active && slot.state !== SlotState.INACTIVE) fail(`state of ${name}`, slot.state, 'which means nothing');
    if (slot.stripes !== STRIPES) fail(`stripes of ${name}`, slot.stripes, `only ${STRIPES} are supported`);
    if (active) checkIterations(`iterations of ${name}`, slot.iterations, fail);
    if (slot.keyMaterialOffset < headerSectors) {
      fail(`key material offset of ${name}`, slot.keyMaterialOffset, 'which lies in the header itself');
    }
    const end = slotEnd(slot, keyBytes);
    if (payloadOffset !== 0 && end > payloadOffset) {
      fail(`key material offset of ${name}`, slot.keyMaterialOffset, `it reaches into the data at ${payloadOffset}`);
    }
    const other = header.slots.findIndex(
      (each, at) => at < index && each.keyMaterialOffset < end && slot.keyMaterialOffset < slotEnd(each, keyBytes),
    );
    if (other >= 0) {
      fail(`key material offset of ${name}`, slot.keyMaterialOffset, `it overlaps with that of key slot ${other}`);
    }
  });
}

type Fail = (field: string, value: number, limit: string) => never;

function checkIterations(field: string, value: number, fail: Fail): void {
  if (value === 0 || value > MAX_ITERATIONS) fail(field, value, `allowed are 1 to ${MAX_ITERATIONS}`);
}

/** First sector behind the key material of a slot. */
function slotEnd(slot: KeySlot, keyBytes: number): number {
  return slot.keyMaterialOffset + Math.ceil(materialBytes(keyBytes) / LUKS_SECTOR);
}

/** Key slots begin at multiples of this many sectors, the first one behind the header. */
const ALIGN_SECTORS = 8;

/** Where everything lies in a header that is newly made, in sectors. */
export function layOutHeader(keyBytes: number): { slots: number[]; end: number } {
  const sectors = Math.ceil(Math.ceil(materialBytes(keyBytes) / LUKS_SECTOR) / ALIGN_SECTORS) * ALIGN_SECTORS;
  const slots = Array.from({ length: SLOTS }, (_, index) => ALIGN_SECTORS + index * sectors);
  return { slots, end: ALIGN_SECTORS + SLOTS * sectors };
}

/** The index of a key slot as a user gives it. @throws BlockError */
export function assertSlot(slot: number): void {
  if (slot >= 0 && slot < SLOTS) return;
  throw new BlockError(`key slot ${slot} does not exist, there are 0 to ${SLOTS - 1}`);
}
