/** What `info` shows of an image, with the fields of the control socket's schema (reference 8.7). */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type { ImageInfo, SnapshotInfo } from '../../core/block/driver.ts';
import { luksInfo } from '../../core/crypto/index.ts';
import type { Disk } from './disk.ts';
import { BitmapFlag, decodeBitmapDirectory, type StoredBitmap } from './meta/bitmap-directory.ts';
import {
  type BitmapsExtension,
  decodeBitmapsExtension,
  ExtensionType,
  findExtension,
  stringExtension,
} from './meta/extensions.ts';
import { Autoclear, Compatible, Incompatible } from './meta/features.ts';
import { Compression, Crypt } from './meta/header.ts';
import type { Snapshot } from './meta/snapshot-table.ts';
import { vmStateOffset } from './vm-state.ts';

/** The parts of an open image that are described. */
export type Described = Pick<Disk, 'fileName' | 'header' | 'parts' | 'geometry' | 'file' | 'snapshots' | 'encryption'>;

export function imageInfo(disk: Described): Maybe<ImageInfo> {
  return after(readBitmaps(disk), (bitmaps) => {
    const { header, geometry } = disk;
    return {
      clusterSize: geometry.clusterSize,
      ...(geometry.extendedL2 ? { subclusterSize: geometry.subclusterSize } : {}),
      encrypted: header.cryptMethod !== Crypt.NONE,
      dirty: (header.incompatible & Incompatible.DIRTY) !== 0n,
      snapshots: disk.snapshots.map(snapshotInfo),
      vmStateOffset: vmStateOffset(disk),
      specific: { type: 'qcow2', data: specificData(disk, bitmaps) },
    };
  });
}

/** Version 2 has only the first and the last of these to tell. The order is the one in which they are shown. */
function specificData(disk: Described, bitmaps: readonly StoredBitmap[]): Record<string, unknown> {
  const { header, geometry } = disk;
  const compression = header.compressionType === Compression.ZSTD ? 'zstd' : 'zlib';
  const first = { compat: header.version === 2 ? '0.10' : '1.1', 'compression-type': compression };
  if (header.version === 2) return { ...first, 'refcount-bits': geometry.refcountBits, ...encryptData(disk) };
  return {
    ...first,
    'lazy-refcounts': (header.compatible & Compatible.LAZY_REFCOUNTS) !== 0n,
    ...(bitmaps.length > 0 ? { bitmaps: bitmaps.map(bitmapData) } : {}),
    'refcount-bits': geometry.refcountBits,
    ...encryptData(disk),
    ...dataFileData(disk),
    corrupt: (header.incompatible & Incompatible.CORRUPT) !== 0n,
    'extended-l2': geometry.extendedL2,
  };
}

function encryptData({ encryption }: Described): Record<string, unknown> {
  if (!encryption) return {};
  const { format, volume } = encryption;
  if (!volume) return { encrypt: { format } };
  return { encrypt: luksInfo(volume.header, volume.spec, { format }) };
}

function dataFileData({ header, parts }: Described): Record<string, unknown> {
  if ((header.incompatible & Incompatible.DATA_FILE) === 0n) return {};
  const name = stringExtension(parts.extensions, ExtensionType.DATA_FILE);
  return {
    ...(name === undefined ? {} : { 'data-file': name }),
    'data-file-raw': (header.autoclear & Autoclear.DATA_FILE_RAW) !== 0n,
  };
}

function bitmapData(bitmap: StoredBitmap): Record<string, unknown> {
  const flags: string[] = [];
  if ((bitmap.flags & BitmapFlag.IN_USE) !== 0) flags.push('in-use');
  if ((bitmap.flags & BitmapFlag.AUTO) !== 0) flags.push('auto');
  return { flags, name: bitmap.name, granularity: 2 ** bitmap.granularityBits };
}

export function snapshotInfo(snapshot: Snapshot): SnapshotInfo {
  const billion = 1_000_000_000n;
  return {
    id: snapshot.id,
    name: snapshot.name,
    vmStateSize: snapshot.vmStateSize,
    date: { sec: snapshot.dateSec, nsec: snapshot.dateNsec },
    vmClock: { sec: Number(snapshot.vmClock / billion), nsec: Number(snapshot.vmClock % billion) },
    ...(snapshot.icount === undefined ? {} : { icount: Number(snapshot.icount) }),
    ...(snapshot.diskSize === undefined ? {} : { diskSize: snapshot.diskSize }),
  };
}

/** Where the bitmap directory lies; undefined when there is none, or when it is not to be trusted. */
export function bitmapsExtension({ header, parts, geometry, fileName }: Described): BitmapsExtension | undefined {
  if ((header.autoclear & Autoclear.BITMAPS) === 0n) return undefined;
  const data = findExtension(parts.extensions, ExtensionType.BITMAPS);
  return data && decodeBitmapsExtension(data, geometry.clusterSize, fileName);
}

/** The stored bitmaps, as the directory lists them. Throws CorruptImage for a directory that cannot be one. */
export function readBitmaps(disk: Described): Maybe<readonly StoredBitmap[]> {
  const extension = bitmapsExtension(disk);
  if (!extension) return [];
  const directory = new Uint8Array(extension.directorySize);
  return after(disk.file.read(extension.directoryOffset, directory), () =>
    decodeBitmapDirectory(directory, extension.count, disk.fileName),
  );
}
