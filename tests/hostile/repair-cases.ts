/** One image whose metadata is damaged, repaired and looked at again: the cases of repair.test.ts. */
import fs from 'node:fs';
import { join } from 'node:path';
import type { Backend } from '../../src/core/block/backend/backend.ts';
import type { CheckResult } from '../../src/core/block/driver.ts';
import { BlockError } from '../../src/core/errors/block-error.ts';
import { hostOffset } from '../../src/drivers/qcow2/meta/entries.ts';
import { Anatomy, plainImage, splitImage, subclusterImage } from '../drivers/qcow2/support/damage.ts';
import { openDisk } from '../support/disk.ts';
import { MemoryFile, memoryFileDriver } from '../support/memory-file.ts';
import { qemuImg, qemuIo } from '../support/peers.ts';
import { Random } from '../support/random.ts';
import { damage, type Span } from './metadata-damage.ts';

type Making = (folder: string) => Promise<string>;

/** Small clusters, many tables, as many kinds of clusters as the version has. */
function madeWith(options: string, snapshots: boolean): Making {
  return async (folder) => {
    const path = join(folder, 'image.qcow2');
    await qemuImg(['create', '-q', '-f', 'qcow2', '-o', options, path, '512k']);
    await qemuIo(path, ['write -P 1 0 20k', 'write -P 2 100k 30k', 'write -z 200k 8k', 'discard 10k 4k']);
    if (snapshots) await qemuImg(['snapshot', '-c', 'one', path]);
    await qemuIo(path, ['write -P 3 5k 3k', 'write -P 4 400k 20k', 'write -c -P 5 300k 4k']);
    if (snapshots) await qemuImg(['snapshot', '-c', 'two', path]);
    await qemuIo(path, ['write -P 6 6k 3k', 'write -z 401k 2k']);
    return path;
  };
}

export const makings: Readonly<Record<string, Making>> = {
  'snapshots, a bitmap and compressed clusters': plainImage,
  subclusters: subclusterImage,
  'a data file': splitImage,
  'small clusters': madeWith('cluster_size=512', true),
  'version 2': madeWith('cluster_size=1k,compat=0.10', true),
  'counts of 1 bit': madeWith('cluster_size=512,refcount_bits=1', false),
  'counts of 8 bits': madeWith('cluster_size=512,refcount_bits=8', true),
  'counts of 64 bits': madeWith('cluster_size=1k,refcount_bits=64', true),
  'other compression, lazy counts': madeWith('cluster_size=4k,compression_type=zstd,lazy_refcounts=on', true),
};

/** Where the metadata of an image lies. */
function metadataOf(bytes: Buffer): Span[] {
  const it = new Anatomy(bytes);
  const { header, geometry } = it;
  const cluster = (from: number): Span => ({ from, to: from + geometry.clusterSize });
  const spans: Span[] = [{ from: 8, to: Math.min(geometry.clusterSize, 512) }];
  const add = (from: number, length: number): void => {
    if (length > 0) spans.push({ from, to: from + Math.ceil(length / 8) * 8 });
  };
  add(it.l1, header.l1Size * 8);
  for (let index = 0; index < header.l1Size; index++) if (it.l2(index) > 0) spans.push(cluster(it.l2(index)));
  spans.push({ from: header.refcountTableOffset, to: header.refcountTableOffset + 64 });
  for (let index = 0; index < 8; index++) if (it.block(index) > 0) spans.push(cluster(it.block(index)));
  if (header.nbSnapshots > 0) {
    add(header.snapshotsOffset, 160);
    const l1 = Number(it.view.getBigUint64(header.snapshotsOffset));
    add(l1, header.l1Size * 8);
    const l2 = hostOffset(it.view.getUint32(l1), it.view.getUint32(l1 + 4));
    if (l2 > 0) spans.push(cluster(l2));
  }
  if ((header.autoclear & 1n) !== 0n) {
    add(it.bitmapDirectory(), 64);
    add(it.bitmapTable(), 64);
  }
  return spans;
}

async function open(file: MemoryFile, forRepair: boolean): Promise<Backend> {
  const spec = { driver: 'qcow2', file: { driver: 'memory-file', id: 'image' } };
  const modes = forRepair ? { forRepair: true, noIo: true } : { readOnly: true };
  const extraDrivers = [memoryFileDriver(new Map([['image', file]]))];
  return openDisk(spec, { writable: forRepair, modes, noBacking: true, extraDrivers });
}

interface Repair {
  readonly first: CheckResult;
  readonly second: CheckResult;
}

/** Repair and check again; undefined when the image was refused in a proper way. */
async function repair(file: MemoryFile): Promise<Repair | undefined> {
  let disk: Backend | undefined;
  try {
    disk = await open(file, true);
    const { check } = disk.image.image;
    if (!check) throw new Error('the driver has no check');
    const first = await check.run({ repair: 'all', report: () => undefined });
    await disk.close();
    // Opened anew: nothing is taken from what the repair had in memory.
    disk = await open(file, true);
    const second = await disk.image.image.check?.run({ repair: 'none', report: () => undefined });
    return second && { first, second };
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    if (error.message.includes('\n')) throw new Error(`a message of several lines: ${error.message}`, { cause: error });
    return undefined;
  } finally {
    await disk?.close();
  }
}

/** Each cluster as it reads, and where it lies; undefined where it cannot be read, or the image cannot be opened. */
async function contentOf(file: MemoryFile, clusterSize: number): Promise<(Piece | undefined)[]> {
  const pieces: (Piece | undefined)[] = [];
  let disk: Backend | undefined;
  try {
    disk = await open(file, false);
    for (let at = 0; at < Math.min(disk.size, 1 << 21); at += clusterSize)
      pieces.push(await piece(disk, at, clusterSize));
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
  } finally {
    await disk?.close();
  }
  return pieces;
}

interface Piece {
  readonly bytes: Buffer;
  readonly host: number | undefined;
}

async function piece(disk: Backend, at: number, length: number): Promise<Piece | undefined> {
  try {
    const bytes = Buffer.alloc(Math.min(length, disk.size - at));
    await disk.read(at, bytes);
    return { bytes, host: (await disk.status(at, bytes.length)).offset };
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return undefined;
  }
}

/** Clusters that read differently now. Those that lie where metadata is written are passed over. */
function changes(
  before: readonly (Piece | undefined)[],
  after: readonly (Piece | undefined)[],
  data: ReadonlySet<number>,
): number[] {
  return [...before.keys()].filter((index) => {
    const was = before[index];
    if (!was || (was.host !== undefined && !data.has(was.host))) return false;
    return !after[index]?.bytes.equals(was.bytes);
  });
}

/** An image to be damaged. */
export interface Subject {
  readonly bytes: Buffer;
  readonly spans: readonly Span[];
  /** Host offsets at which data of the guest lies. */
  readonly data: ReadonlySet<number>;
  readonly clusterSize: number;
  /** Of an image that has its data elsewhere. */
  readonly dataFile: string | undefined;
}

export async function makeSubject(name: string, folder: string): Promise<Subject> {
  const make = makings[name];
  if (!make) throw new Error(`no image is made with ${name}`);
  const bytes = fs.readFileSync(await make(folder));
  const { clusterSize } = new Anatomy(bytes).geometry;
  const pieces = await contentOf(new MemoryFile(bytes), clusterSize).catch(() => []);
  const data = new Set(pieces.flatMap((it) => (it?.host === undefined ? [] : [it.host])));
  const [dataFile] = fs.readdirSync(folder).filter((entry) => entry.endsWith('.data'));
  const spans = metadataOf(bytes);
  return { bytes, spans, data, clusterSize, dataFile: dataFile && join(folder, dataFile) };
}

export interface Outcome {
  readonly file: MemoryFile;
  /** What was done to the image. */
  readonly damage: readonly string[];
  readonly kind: 'clean' | 'reported' | 'refused';
  /** What a check found after a repair that had nothing left to report. */
  readonly left: CheckResult | undefined;
  /** Clusters whose content is another than before the repair. */
  readonly changed: readonly number[];
}

/** Damage, repair, look. The content is compared where `compare` is set, which takes most of the time. */
export async function runCase(subject: Subject, seed: number, compare: boolean): Promise<Outcome> {
  const { bytes, spans, clusterSize, data } = subject;
  const damaged = damage(Buffer.from(bytes), spans, clusterSize, new Random(seed));
  const file = new MemoryFile(damaged.bytes);
  const before = compare ? await contentOf(file, clusterSize) : [];
  const repaired = await repair(file);
  const after = compare ? await contentOf(file, clusterSize) : [];
  const changed = changes(before, after, data);
  const outcome = { file, damage: damaged.kinds, left: undefined, changed };
  if (!repaired) return { ...outcome, kind: 'refused' };
  if (wrong(repaired.first)) return { ...outcome, kind: 'reported' };
  return { ...outcome, kind: 'clean', left: repaired.second };
}

export function wrong({ corruptions, checkErrors, leaks }: CheckResult): boolean {
  return corruptions + checkErrors + leaks > 0;
}
