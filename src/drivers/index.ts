/**
 * The list of drivers, the only one. An entry says just enough to decide whether a driver is wanted;
 * its code is loaded when it is first used.
 */
import fs from 'node:fs';
import type { Driver, DriverEntry, DriverList } from '../core/block/driver.ts';

/** A driver's own options are checked by its schema before it sees them, so the list need not know their type. */
function erased<O extends Readonly<Record<string, unknown>>>(driver: Driver<O>): Driver {
  return driver as unknown as Driver;
}

/** `QFI\xfb`, at offset 0. */
const QCOW2_MAGIC = 0x514649fb;

/** `LUKS`, at offset 0; two more bytes and a version follow. */
const LUKS_MAGIC = 0x4c554b53;

function startsWith(head: Uint8Array, magic: number): boolean {
  return head.length >= 4 && new DataView(head.buffer, head.byteOffset).getUint32(0) === magic;
}

const entries: readonly DriverEntry[] = [
  {
    name: 'blkdebug',
    kind: 'filter',
    schemes: ['blkdebug'],
    load: async () => erased((await import('./blkdebug/index.ts')).blkdebugDriver),
  },
  {
    name: 'blklogwrites',
    kind: 'filter',
    load: async () => erased((await import('./blklogwrites/index.ts')).blklogwritesDriver),
  },
  {
    name: 'blkreplay',
    kind: 'filter',
    load: async () => erased((await import('./blkreplay/index.ts')).blkreplayDriver),
  },
  {
    name: 'blkverify',
    kind: 'filter',
    schemes: ['blkverify'],
    load: async () => erased((await import('./blkverify/index.ts')).blkverifyDriver),
  },
  {
    name: 'compress',
    kind: 'filter',
    load: async () => erased((await import('./compress/index.ts')).compressDriver),
  },
  {
    name: 'copy-on-read',
    kind: 'filter',
    load: async () => erased((await import('./copy-on-read/index.ts')).copyOnReadDriver),
  },
  {
    name: 'file',
    kind: 'protocol',
    schemes: ['file'],
    creatable: true,
    load: async () => erased((await import('./file/file.ts')).fileDriver),
  },
  {
    name: 'host_device',
    kind: 'protocol',
    schemes: ['host_device'],
    creatable: true,
    load: async () => erased((await import('./file/host-device.ts')).hostDeviceDriver),
  },
  {
    name: 'luks',
    kind: 'format',
    creatable: true,
    magic: (head) => startsWith(head, LUKS_MAGIC),
    load: async () => erased((await import('./luks/index.ts')).luksDriver),
  },
  {
    name: 'nbd',
    kind: 'protocol',
    schemes: ['nbd', 'nbds', 'nbd+unix', 'nbds+unix', 'nbd+tcp', 'nbds+tcp'],
    creatable: true,
    load: async () => erased((await import('./nbd/index.ts')).nbdDriver),
  },
  {
    name: 'null-aio',
    kind: 'protocol',
    schemes: ['null-aio'],
    load: async () => erased((await import('./null/index.ts')).nullAioDriver),
  },
  {
    name: 'null-co',
    kind: 'protocol',
    schemes: ['null-co'],
    load: async () => erased((await import('./null/index.ts')).nullCoDriver),
  },
  {
    name: 'preallocate',
    kind: 'filter',
    load: async () => erased((await import('./preallocate/index.ts')).preallocateDriver),
  },
  {
    name: 'qcow2',
    kind: 'format',
    creatable: true,
    magic: (head) => startsWith(head, QCOW2_MAGIC),
    load: async () => erased((await import('./qcow2/index.ts')).qcow2Driver),
  },
  {
    name: 'quorum',
    kind: 'format',
    load: async () => erased((await import('./quorum/index.ts')).quorumDriver),
  },
  {
    name: 'raw',
    kind: 'format',
    creatable: true,
    load: async () => erased((await import('./raw/index.ts')).rawDriver),
  },
  {
    name: 'snapshot',
    kind: 'format',
    load: async () => erased((await import('./snapshot/index.ts')).snapshotDriver),
  },
  {
    name: 'copy-before-write',
    kind: 'filter',
    load: async () => erased((await import('./copy-before-write/index.ts')).copyBeforeWriteDriver),
  },
  {
    name: 'snapshot-access',
    kind: 'format',
    load: async () => erased((await import('./snapshot-access/index.ts')).snapshotAccessDriver),
  },
  {
    name: 'throttle',
    kind: 'filter',
    load: async () => erased((await import('./throttle/index.ts')).throttleDriver),
  },
  {
    name: 'trace',
    kind: 'filter',
    load: async () => erased((await import('./trace/index.ts')).traceDriver),
  },
];

/** A device by what it is now; a name that does not exist yet is a file to be. */
function protocolForPath(path: string): string {
  try {
    const stat = fs.statSync(path);
    return stat.isBlockDevice() || stat.isCharacterDevice() ? 'host_device' : 'file';
  } catch {
    return 'file'; // what is wrong with the name is said, with the name, when it is opened
  }
}

export const driverList: DriverList = { entries, protocolForPath };
