/** Images of every structure, made by the reference tool, and ways to damage them one field at a time. */
import fs from 'node:fs';
import { join } from 'node:path';
import { hostOffset } from '../../../../src/drivers/qcow2/meta/entries.ts';
import { decodeExtensions, ExtensionType, findExtension } from '../../../../src/drivers/qcow2/meta/extensions.ts';
import { type Geometry, geometryOf } from '../../../../src/drivers/qcow2/meta/geometry.ts';
import { decodeHeader, type Header } from '../../../../src/drivers/qcow2/meta/header.ts';
import { viewOf } from '../../../../src/drivers/qcow2/meta/struct.ts';
import { qemuImg, qemuIo } from '../../../support/peers.ts';

/** An image in memory, with the places of its structures. */
export class Anatomy {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly header: Header;
  readonly geometry: Geometry;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
    this.header = decodeHeader(bytes, 'image');
    this.geometry = geometryOf(this.header);
  }

  get l1(): number {
    return this.header.l1TableOffset;
  }

  /** Host offset of the L2 table of an L1 index. */
  l2(index = 0): number {
    const at = this.l1 + index * 8;
    return hostOffset(this.view.getUint32(at), this.view.getUint32(at + 4));
  }

  /** Where the first L2 entry of the first table lies for which `wanted` holds. */
  findL2(wanted: (hi: number, lo: number) => boolean): number {
    const table = this.l2();
    for (let at = table; at < table + this.geometry.clusterSize; at += this.geometry.l2EntrySize) {
      if (wanted(this.view.getUint32(at), this.view.getUint32(at + 4))) return at;
    }
    throw new Error('the image has no such entry');
  }

  data(): number {
    return this.findL2((hi, lo) => (hi & 0x40000000) === 0 && (lo & 1) === 0 && hostOffset(hi, lo) !== 0);
  }

  compressed(): number {
    return this.findL2((hi) => (hi & 0x40000000) !== 0);
  }

  empty(): number {
    return this.findL2((hi, lo) => hi === 0 && lo === 0);
  }

  /** Host offset of a refcount block. */
  block(index = 0): number {
    const at = this.header.refcountTableOffset + index * 8;
    return hostOffset(this.view.getUint32(at), this.view.getUint32(at + 4));
  }

  /** Where the bitmap directory lies. */
  bitmapDirectory(): number {
    const start = this.header.headerLength;
    const end = this.header.backingFileOffset || this.geometry.clusterSize;
    const data = findExtension(decodeExtensions(this.bytes, { start, end }, 'image'), ExtensionType.BITMAPS);
    if (!data) throw new Error('the image has no bitmaps');
    return Number(viewOf(data).getBigUint64(16));
  }

  bitmapTable(): number {
    return Number(this.view.getBigUint64(this.bitmapDirectory()));
  }

  /** Change the 64 bits at an offset. */
  patch(at: number, change: (value: bigint) => bigint): void {
    this.view.setBigUint64(at, BigInt.asUintN(64, change(this.view.getBigUint64(at))));
  }

  set(at: number, value: bigint | number): void {
    this.view.setBigUint64(at, BigInt(value));
  }
}

export const BIT = (number: number): bigint => 1n << BigInt(number);

/** Data, zeroes, compressed clusters, two snapshots and a bitmap. */
export async function plainImage(folder: string): Promise<string> {
  const raw = join(folder, 'plain.raw');
  const path = join(folder, 'plain.qcow2');
  fs.writeFileSync(raw, Buffer.concat([Buffer.alloc(256 * 1024, 'compressible '), Buffer.alloc(7 * 256 * 1024)]));
  await qemuImg(['convert', '-c', '-O', 'qcow2', '-o', 'cluster_size=4k', raw, path]);
  await qemuIo(path, ['write -P 1 1M 64k']);
  await qemuImg(['snapshot', '-c', 'first', path]);
  await qemuIo(path, ['write -P 2 1056k 16k', 'write -z 1100k 32k', 'write -P 3 1500k 32k']);
  await qemuImg(['snapshot', '-c', 'second', path]);
  await qemuImg(['bitmap', '--add', '-g', '4k', path, 'dirty']);
  await qemuIo(path, ['write -P 4 1600k 64k', 'write -z 1700k 64k']);
  return path;
}

export async function subclusterImage(folder: string): Promise<string> {
  const path = join(folder, 'subclusters.qcow2');
  await qemuImg(['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=16k,extended_l2=on', path, '4M']);
  await qemuIo(path, ['write -P 1 0 64k', 'write -P 2 100k 3k', 'write -z 200k 2k', 'write -c -P 3 256k 16k']);
  return path;
}

/** With a data file beside it. */
export async function splitImage(folder: string): Promise<string> {
  const path = join(folder, 'split.qcow2');
  const data = join(folder, 'split.data');
  await qemuImg(['create', '-q', '-f', 'qcow2', '-o', `cluster_size=4k,data_file=${data}`, path, '1M']);
  await qemuIo(path, ['write -P 1 0 64k', 'write -z 64k 16k']);
  return path;
}
