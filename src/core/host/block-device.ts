import { readFile } from 'node:fs';
import { promisify } from 'node:util';
import { hostError } from './errno.ts';
import { ioctl, ioctlInt, REQUEST } from './ioctl.ts';

/** Heads, sectors and cylinders as a disk reports them, and the sector its partition starts at. */
export interface Geometry {
  readonly heads: number;
  readonly sectors: number;
  readonly cylinders: number;
  readonly start: number;
}

/** What the kernel's queue of a block device does, in bytes. 0 in a maximum: the operation is not there. */
export interface QueueLimits {
  readonly discardMax: number;
  readonly discardGranularity: number;
  readonly writeZeroesMax: number;
  readonly minimumIo: number;
  /** 0 when the device has no preference. */
  readonly optimalIo: number;
  readonly maxTransfer: number;
  readonly maxSegments: number;
  readonly rotational: boolean;
  /** "none", "host-aware" or "host-managed". */
  readonly zoned: string;
}

export interface BlockDeviceInfo {
  readonly size: number;
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
  readonly readOnly: boolean;
  /** `undefined` where the driver has none. */
  readonly geometry: Geometry | undefined;
  /** `undefined` where sysfs is not to be had. */
  readonly limits: QueueLimits | undefined;
}

/** Layout of `struct hd_geometry`: two bytes, a short, and after padding an unsigned long. */
const HD_GEOMETRY = { heads: 0, sectors: 1, cylinders: 2, start: 8, bytes: 16 } as const;

/** Bytes of a block device; throws where the system cannot say (no medium, no C library). */
export function blockDeviceSize(fd: number, path: string): number {
  const size = new BigUint64Array(1);
  const result = ioctl(fd, REQUEST.blkGetSize64, size);
  if (result < 0) throw hostError('get the size of', path, result);
  return Number(size[0] ?? 0n);
}

/** Logical block size in bytes; `undefined` for what is no block device. */
export function logicalBlockSize(fd: number): number | undefined {
  return ioctlInt(fd, REQUEST.blkSszGet);
}

/** Everything about the block device open as `fd`; `undefined` when it is none. `device` is its st_rdev. */
export async function blockDeviceInfo(fd: number, path: string, device: bigint): Promise<BlockDeviceInfo | undefined> {
  const logical = logicalBlockSize(fd);
  if (logical === undefined) return undefined;
  return {
    size: blockDeviceSize(fd, path),
    logicalBlockSize: logical,
    physicalBlockSize: ioctlInt(fd, REQUEST.blkPbszGet) ?? logical,
    readOnly: (ioctlInt(fd, REQUEST.blkRoGet) ?? 0) !== 0,
    geometry: geometry(fd),
    limits: await queueLimits(device),
  };
}

function geometry(fd: number): Geometry | undefined {
  const record = new DataView(new ArrayBuffer(HD_GEOMETRY.bytes));
  if (ioctl(fd, REQUEST.hdioGetGeo, record) < 0) return undefined;
  const heads = record.getUint8(HD_GEOMETRY.heads);
  const sectors = record.getUint8(HD_GEOMETRY.sectors);
  if (heads === 0 || sectors === 0) return undefined; // drivers without a geometry answer with zeroes
  return {
    heads,
    sectors,
    cylinders: record.getUint16(HD_GEOMETRY.cylinders, true),
    start: Number(record.getBigUint64(HD_GEOMETRY.start, true)),
  };
}

/** Major and minor number of a device, from the encoding of st_rdev. */
export function deviceNumbers(device: bigint): { major: number; minor: number } {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn);
  return { major: Number(major), minor: Number(minor) };
}

async function queueLimits(device: bigint): Promise<QueueLimits | undefined> {
  const { major, minor } = deviceNumbers(device);
  const folder = `/sys/dev/block/${major}:${minor}`;
  // A partition has no queue of its own: it stands beside the partitions in its disk's folder.
  const read = (name: string): Promise<string | undefined> =>
    readFirst([`${folder}/queue/${name}`, `${folder}/../queue/${name}`]);
  const number = async (name: string): Promise<number> => Number((await read(name)) ?? 0);
  const zoned = await read('zoned');
  if (zoned === undefined) return undefined;
  return {
    discardMax: await number('discard_max_bytes'),
    discardGranularity: await number('discard_granularity'),
    writeZeroesMax: await number('write_zeroes_max_bytes'),
    minimumIo: await number('minimum_io_size'),
    optimalIo: await number('optimal_io_size'),
    maxTransfer: (await number('max_sectors_kb')) * 1024,
    maxSegments: await number('max_segments'),
    rotational: (await number('rotational')) !== 0,
    zoned,
  };
}

const readText = promisify(readFile);

async function readFirst(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      return (await readText(path, 'utf8')).trim();
    } catch {
      // not there: the next one
    }
  }
  return undefined;
}
