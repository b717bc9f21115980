/** Sound qcow2 images to be damaged, and the places in them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeImage, openDisk } from '../support/disk.ts';
import { Random } from '../support/random.ts';

const KIB = 1024;

/** The bytes of an image with names for what lies in them; each patch works on a copy. */
export class Victim {
  bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = Buffer.from(bytes);
  }

  /** Go on with other bytes, such as a longer file. */
  replace(bytes: Buffer): this {
    this.bytes = bytes;
    return this;
  }

  get clusterSize(): number {
    return 2 ** this.bytes.readUInt32BE(20);
  }
  get l1Offset(): number {
    return Number(this.bytes.readBigUInt64BE(40));
  }
  get l2Offset(): number {
    return this.#offset(this.l1Offset);
  }
  get refcountTable(): number {
    return Number(this.bytes.readBigUInt64BE(48));
  }
  get refcountBlock(): number {
    return this.#offset(this.refcountTable);
  }
  /** Where the header extensions begin. */
  get extensions(): number {
    return this.bytes.readUInt32BE(4) === 2 ? 72 : this.bytes.readUInt32BE(100);
  }

  #offset(at: number): number {
    return Number(this.bytes.readBigUInt64BE(at) & 0x00ff_ffff_ffff_fe00n);
  }

  u8(at: number, value: number): this {
    this.bytes[at] = value;
    return this;
  }
  u32(at: number, value: number): this {
    this.bytes.writeUInt32BE(value >>> 0, at);
    return this;
  }
  u64(at: number, value: bigint | number): this {
    this.bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)), at);
    return this;
  }
  /** Set bits of a 64-bit field. */
  or(at: number, bits: bigint): this {
    return this.u64(at, this.bytes.readBigUInt64BE(at) | bits);
  }
  /** Clear bits of a 64-bit field. */
  clear(at: number, bits: bigint): this {
    return this.u64(at, this.bytes.readBigUInt64BE(at) & ~bits);
  }
  text(at: number, text: string): this {
    this.bytes.write(text, at, 'latin1');
    return this;
  }
  /** Replace the header extensions; the end mark follows. */
  extend(...list: readonly (readonly [type: number, data: Buffer, length?: number])[]): this {
    let at = this.extensions;
    for (const [type, data, length = data.length] of list) {
      this.u32(at, type).u32(at + 4, length);
      data.copy(this.bytes, at + 8);
      at += 8 + Math.ceil(data.length / 8) * 8;
    }
    this.u32(at, 0).u32(at + 4, 0);
    return this;
  }
  /** Name a backing file. */
  backing(name: string, length = Buffer.byteLength(name, 'latin1')): this {
    const at = 1024;
    return this.text(at, name).u64(8, at).u32(16, length);
  }
  /** The L2 entry of the first compressed cluster. */
  get compressedEntry(): number {
    for (let at = this.l2Offset; at < this.l2Offset + this.clusterSize; at += 8) {
      if (((this.bytes[at] ?? 0) & 0x40) !== 0) return at;
    }
    throw new Error('this image has no compressed cluster');
  }
  /** Where the data of the first compressed cluster lies. */
  get compressedData(): number {
    const offsetBits = 62n - (BigInt(Math.log2(this.clusterSize)) - 8n);
    return Number(this.bytes.readBigUInt64BE(this.compressedEntry) & ((1n << offsetBits) - 1n));
  }
}

export const BASES = [
  'plain',
  'compressed',
  'zstd',
  'subclusters',
  'version2',
  'small',
  'data-file',
  'overlay',
] as const;
export type Base = (typeof BASES)[number];

const OPTIONS: Readonly<Record<Base, Readonly<Record<string, unknown>>>> = {
  plain: {},
  compressed: {},
  zstd: { compression_type: 'zstd' },
  subclusters: { extended_l2: true },
  version2: { compat: '0.10' },
  small: { cluster_size: 512, refcount_bits: 64 },
  'data-file': { data_file: 'data.raw' },
  overlay: { backing_file: 'base.raw', backing_fmt: 'raw' },
};

export type Bases = Readonly<Record<Base, Buffer>>;

/** Make all of them in `folder`; the data file and the backing file stay there. */
export async function makeBases(folder: string): Promise<Bases> {
  await makeImage('raw', join(folder, 'base.raw'), { size: 1024 * KIB });
  const list = [];
  for (const base of BASES) list.push([base, await makeBase(folder, base)] as const);
  return Object.fromEntries(list) as Record<Base, Buffer>;
}

async function makeBase(folder: string, base: Base): Promise<Buffer> {
  const path = join(folder, `${base}.qcow2`);
  const options = { ...OPTIONS[base] };
  for (const key of ['data_file', 'backing_file']) {
    if (options[key] !== undefined) Object.assign(options, { [key]: join(folder, String(options[key])) });
  }
  await makeImage('qcow2', path, { size: 1024 * KIB, ...options });
  const disk = await openDisk({ driver: 'qcow2', file: { driver: 'file', filename: path } }, { writable: true });
  const random = new Random(17);
  await disk.write(0, random.bytes(100 * KIB));
  await disk.write(300 * KIB, Buffer.alloc(200 * KIB, 0x61));
  await disk.zero(384 * KIB, 64 * KIB);
  if (base === 'compressed' || base === 'zstd') {
    await disk.writeCompressed(640 * KIB, Buffer.alloc(64 * KIB, 'compress me'));
    await disk.writeCompressed(704 * KIB, Buffer.alloc(64 * KIB, 'and me'));
  }
  await disk.close();
  return readFileSync(path);
}
