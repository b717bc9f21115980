/** Opening: header and tables are judged before anything is believed, and before anything else is opened. */
import type { OpenContext } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { isZero } from '../../core/bytes/zero.ts';
import { BlockError, CorruptImage, NotSupported } from '../../core/errors/block-error.ts';
import { assemble } from './assemble.ts';
import { loadBitmaps } from './bitmaps/load.ts';
import type { CheckedImage } from './check/index.ts';
import { Disk } from './disk.ts';
import { openEncryption } from './encryption/open.ts';
import { dropUnknownAutoclear } from './first-write.ts';
import { L1Table } from './l1-table.ts';
import { decodeExtensions, ExtensionType, findExtension, stringExtension } from './meta/extensions.ts';
import {
  decodeFeatureNames,
  describeFeatures,
  FEATURE_NAMES,
  FeatureGroup,
  Incompatible,
  KNOWN_INCOMPATIBLE,
} from './meta/features.ts';
import { geometryOf } from './meta/geometry.ts';
import { backingFileName, decodeHeader, HEADER_PROBE_BYTES, type Header, validateHeader } from './meta/header.ts';
import { type Qcow2Options, settingsOf } from './options.ts';
import { readSnapshots } from './snapshots-read.ts';

type Context = OpenContext<Qcow2Options>;

const STEP = 4096;

/** An open disk with its children, ready for requests. */
export async function openDisk(context: Context): Promise<Disk> {
  const file = context.child('file');
  const { fileName, modes } = context;
  const first = await readFirstCluster(file, context);
  const { header, bytes } = first;
  const extensionsEnd = header.backingFileOffset || 2 ** header.clusterBits;
  const extensions = decodeExtensions(bytes, { start: header.headerLength, end: extensionsEnd }, fileName);
  refuseUnknownFeatures(header, findExtension(extensions, ExtensionType.FEATURE_NAMES), fileName);
  refuseState(header, context);
  const geometry = geometryOf(header);
  const encryption = await openEncryption(context, { header, extensions, file });
  const backing = backingFileName(header, bytes, fileName);
  // A check reads them itself, and a repair where nothing else could.
  const snapshots = modes.forRepair ? [] : await readSnapshots(file, header, fileName);
  await repairIfDirty({ fileName, header, extensions, geometry, file }, context);
  const tables = await readTables(file, header, context);
  const disk = new Disk({
    fileName,
    modes,
    settings: settingsOf(context.options, header, modes),
    header,
    parts: { extensions, backingFileName: backing, usedBytes: usedBytes(header, bytes) },
    geometry,
    file,
    dataFile: await openDataFile(context, header, stringExtension(extensions, ExtensionType.DATA_FILE)),
    snapshots,
    encryption,
    l1: new L1Table(header.l1TableOffset, tables.l1, 512),
    warn: (message) => context.warn(message),
    damaged: (damage) => context.damaged(damage),
  });
  assemble(disk, tables.refcountTable, context.options);
  if (disk.writable && !modes.noIo) await dropUnknownAutoclear(disk);
  disk.bitmaps = await loadBitmaps(disk);
  const driver = stringExtension(extensions, ExtensionType.BACKING_FORMAT);
  disk.backing = await context.openChild({
    name: 'backing',
    role: 'cow',
    ...(backing === undefined ? {} : { fileName: backing }),
    ...(driver === undefined || backing === undefined ? {} : { driver }),
  });
  return disk;
}

async function readFirstCluster(
  file: Edge,
  { fileName, modes }: Context,
): Promise<{ header: Header; bytes: Uint8Array }> {
  const probe = new Uint8Array(Math.min(HEADER_PROBE_BYTES, file.size));
  await file.read(0, probe);
  validateHeader(decodeHeader(probe, fileName), fileName, { forCheck: modes.forRepair });
  const { clusterBits } = decodeHeader(probe, fileName);
  const bytes = new Uint8Array(Math.min(2 ** clusterBits, file.size));
  await file.read(0, bytes);
  const header = decodeHeader(bytes, fileName);
  if (header.headerLength > bytes.length) {
    throw new CorruptImage(`'${fileName}': the header has ${header.headerLength} bytes, the file only ${bytes.length}`);
  }
  return { header, bytes };
}

/** Bytes of the first cluster up to the last that is not zero. */
function usedBytes(header: Header, bytes: Uint8Array): number {
  let end = bytes.length;
  // In steps first: this is a whole cluster, and nearly all of it zeroes.
  while (end - STEP > header.headerLength && isZero(bytes, end - STEP, end)) end -= STEP;
  while (end > header.headerLength && bytes[end - 1] === 0) end--;
  return end;
}

function refuseUnknownFeatures(header: Header, table: Uint8Array | undefined, fileName: string): void {
  const unknown = header.incompatible & ~KNOWN_INCOMPATIBLE;
  if (unknown === 0n) return;
  const names = [...(table ? decodeFeatureNames(table) : []), ...FEATURE_NAMES];
  const words = describeFeatures(unknown, FeatureGroup.INCOMPATIBLE, names);
  throw new NotSupported(`'${fileName}' uses features that are not supported: ${words.join(', ')}`);
}

/** Images that may be looked at but not used as asked. */
export function refuseState(header: Header, { fileName, modes }: Pick<Context, 'fileName' | 'modes'>): void {
  if (modes.readOnly || modes.noIo || modes.forRepair) return;
  if ((header.incompatible & Incompatible.CORRUPT) !== 0n) {
    throw new BlockError(`'${fileName}' is marked corrupt and cannot be opened for writing`, {
      code: 'EACCES',
      hint: 'Open it read-only, or repair it with img check -r all',
    });
  }
  if (header.refcountTableClusters === 0) {
    throw new CorruptImage(`'${fileName}': refcount_table_clusters is 0, the image has no reference counts`);
  }
}

interface Tables {
  readonly l1: Uint8Array;
  readonly refcountTable: Uint8Array;
}

/** Both tables, whose sizes the header check has bounded. A user of the header alone gets empty ones. */
async function readTables(file: Edge, header: Header, { fileName, modes }: Context): Promise<Tables> {
  const clusterSize = 2 ** header.clusterBits;
  const l1 = new Uint8Array(modes.noIo ? 0 : header.l1Size * 8);
  const refcountTable = new Uint8Array(modes.noIo ? 0 : header.refcountTableClusters * clusterSize);
  if (header.l1TableOffset + l1.length > file.size && l1.length > 0) {
    const end = header.l1TableOffset + l1.length;
    throw new CorruptImage(`'${fileName}': the L1 table ends at ${end}, past the end of the file at ${file.size}`);
  }
  if (header.refcountTableOffset >= file.size && refcountTable.length > 0 && !modes.forRepair) {
    throw new CorruptImage(
      `'${fileName}': refcount_table_offset is ${header.refcountTableOffset}, past the end of the file at ${file.size}`,
    );
  }
  if (!modes.readOnly && !modes.forRepair) refuseOverlap(header, clusterSize, fileName);
  if (l1.length > 0) await file.read(header.l1TableOffset, l1);
  if (refcountTable.length > 0) {
    await file.event('reftable_load');
    await file.read(header.refcountTableOffset, refcountTable);
  }
  return { l1, refcountTable };
}

function refuseOverlap(header: Header, clusterSize: number, fileName: string): void {
  const l1End = header.l1TableOffset + header.l1Size * 8;
  const tableEnd = header.refcountTableOffset + header.refcountTableClusters * clusterSize;
  if (header.l1Size === 0 || l1End <= header.refcountTableOffset || tableEnd <= header.l1TableOffset) return;
  throw new CorruptImage(
    `'${fileName}': the L1 table at ${header.l1TableOffset} and the refcount table at ${header.refcountTableOffset} overlap`,
  );
}

async function openDataFile(context: Context, header: Header, name: string | undefined): Promise<Edge | undefined> {
  const { fileName, modes } = context;
  const wanted = (header.incompatible & Incompatible.DATA_FILE) !== 0n;
  if (modes.noIo && wanted) return undefined;
  const edge = await context.openChild({
    name: 'data-file',
    role: 'data',
    probe: false,
    ...(wanted && name !== undefined ? { fileName: name } : {}),
  });
  if (wanted && !edge) throw new BlockError(`'${fileName}' keeps its data in another file: 'data-file' is required`);
  if (!wanted && edge) throw new BlockError(`'${fileName}' has no external data file: 'data-file' cannot be given`);
  if (edge) context.child('file').role = 'metadata';
  return edge;
}

/** Counts that lag behind are mended before any of them is believed. */
async function repairIfDirty(image: CheckedImage, context: Context): Promise<void> {
  const { modes, fileName } = context;
  const dirty = (image.header.incompatible & Incompatible.DIRTY) !== 0n;
  if (!dirty || modes.readOnly || modes.noIo || modes.forRepair) return;
  const { repairDirtyImage } = await import('./repair/dirty.ts');
  let lines = 0;
  await repairDirtyImage(image, (line) => {
    if (++lines <= MOST_LINES) context.note(line);
  });
  if (lines > MOST_LINES) context.note(`${lines - MOST_LINES} more such lines about '${fileName}' are left out`);
}

/** Of what is told about a repair. */
const MOST_LINES = 100;
