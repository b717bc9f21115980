/** Records with plain values, to be changed by a test. */
import type { BitmapEntry } from '../../../../src/drivers/qcow2/meta/bitmap-directory.ts';
import { Incompatible } from '../../../../src/drivers/qcow2/meta/features.ts';
import { type Geometry, geometryOf } from '../../../../src/drivers/qcow2/meta/geometry.ts';
import { type Header, MAGIC } from '../../../../src/drivers/qcow2/meta/header.ts';
import type { Snapshot } from '../../../../src/drivers/qcow2/meta/snapshot-table.ts';

export function headerFixture(change: Partial<Header>): Header {
  return {
    magic: MAGIC,
    version: 3,
    backingFileOffset: 0,
    backingFileSize: 0,
    clusterBits: 16,
    size: 1 << 30,
    cryptMethod: 0,
    l1Size: 2,
    l1TableOffset: 0x30000,
    refcountTableOffset: 0x10000,
    refcountTableClusters: 1,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatible: 0n,
    compatible: 0n,
    autoclear: 0n,
    refcountOrder: 4,
    headerLength: 112,
    compressionType: 0,
    unknownFields: new Uint8Array(0),
    ...change,
  };
}

export function geometryWith(change: Partial<Header>): Geometry {
  return geometryOf(headerFixture(change));
}

export const extendedGeometry = geometryWith({ incompatible: Incompatible.EXTENDED_L2 });

export function snapshotFixture(change: Partial<Snapshot>): Snapshot {
  return {
    l1TableOffset: 0x40000,
    l1Size: 1,
    id: '1',
    name: 'one',
    dateSec: 1,
    dateNsec: 2,
    vmClock: 3n,
    vmStateSize: 0,
    diskSize: 4096,
    icount: undefined,
    extra: new Uint8Array(0),
    ...change,
  };
}

export function bitmapFixture(change: Partial<BitmapEntry>): BitmapEntry {
  return {
    tableOffset: 0x50000,
    tableSize: 1,
    flags: 0,
    type: 1,
    granularityBits: 16,
    name: 'first',
    extra: new Uint8Array(0),
    ...change,
  };
}
