/**
 * Making a new image. Everything is known beforehand, so the tables are written once, in large pieces, and the
 * header comes last: a creation that breaks off leaves nothing that looks like an image.
 */
import type { CreateCapability, CreateContext } from '../../core/block/driver.ts';
import { BlockError, Cancelled } from '../../core/errors/block-error.ts';
import {
  CREATE_DISPLAY_ORDER,
  type CreateOptions,
  checkedDiskSize,
  createOptions,
  type NewImage,
  resolveNewImage,
} from './create-options.ts';
import { writeEncryption } from './encryption/create.ts';
import { type Layout, layOut } from './layout.ts';
import { measure } from './measure.ts';
import { type Extension, ExtensionType, encodeCryptoExtension, encodeExtensions } from './meta/extensions.ts';
import { encodeFeatureNames, FEATURE_NAMES } from './meta/features.ts';
import { clustersFor } from './meta/geometry.ts';
import { Crypt, encodeHeader, type Header, MAGIC, V2_HEADER_BYTES, V3_HEADER_BYTES } from './meta/header.ts';
import { reservesSpace, TableWriter } from './table-writer.ts';

export const createCapability: CreateCapability = {
  options: createOptions,
  withProtocolOptions: true,
  run: create,
  displayOrder: CREATE_DISPLAY_ORDER,
  wire: {
    compat: { name: 'version', help: 'Version of the format', values: { v2: 'v2', v3: 'v3' } },
    encryption: null,
  },
  compresses: true,
  measure,
};

/** Create in the empty file `context.file`. A data file is made, or emptied, too. */
export async function create(context: CreateContext): Promise<void> {
  const options = context.options as CreateOptions;
  if (options.size === undefined) throw new BlockError('a new qcow2 image needs a size');
  const image = resolveNewImage(options);
  const size = checkedDiskSize(options.size, image.geometry);
  const layout = layOut(image.geometry, {
    size,
    mapped: image.preallocation !== 'off',
    ownData: image.dataFile === undefined,
    cryptoClusters: clustersFor(image.geometry, image.encryption?.length ?? 0),
  });
  const head = encodeHead(image, layout, size);
  const { file } = context;
  if (!file) throw new BlockError('a new qcow2 image needs a file');
  if (image.dataFile !== undefined) await createDataFile(context, image, size);

  if (image.encryption) await writeEncryption(context, image.encryption, layout.cryptoAt * image.geometry.clusterSize);
  const tables = new TableWriter({ file, image, layout, size });
  await tables.refcounts();
  await tables.l1Table();
  await tables.l2Tables((done, total) => {
    if (context.signal?.aborted) throw new Cancelled();
    context.progress?.(done, total);
  });
  if (layout.dataClusters > 0) {
    const preallocation = image.preallocation === 'metadata' ? 'off' : image.preallocation;
    await file.truncate(layout.total * image.geometry.clusterSize, { preallocation });
  }
  const headLength = reservesSpace(image) ? image.geometry.clusterSize : head.length;
  await file.write(0, Buffer.concat([head], headLength));
}

async function createDataFile(context: CreateContext, image: NewImage, size: number): Promise<void> {
  const edge = await context.createFile(image.dataFile ?? '', {});
  const preallocation = image.preallocation === 'metadata' ? 'off' : image.preallocation;
  await edge.truncate(size, { preallocation });
}

/** Header, extensions and backing file name. Throws when they do not fit in the first cluster. */
function encodeHead(image: NewImage, layout: Layout, size: number): Uint8Array {
  const { geometry } = image;
  const headerLength = geometry.version === 2 ? V2_HEADER_BYTES : V3_HEADER_BYTES;
  const name = Buffer.from(image.backingFile ?? '');
  let extensions = encodeExtensions(extensionsOf(image, layout, true));
  // The names of features are a courtesy: where clusters are small, what the image needs goes first.
  if (headerLength + extensions.length + name.length > geometry.clusterSize) {
    extensions = encodeExtensions(extensionsOf(image, layout, false));
  }
  const nameAt = headerLength + extensions.length;
  if (nameAt + name.length > geometry.clusterSize) {
    throw new BlockError(
      `the header with the file names in it takes ${nameAt + name.length} bytes, a cluster has ${geometry.clusterSize}`,
      { code: 'ENOSPC', hint: 'Try a larger cluster size or shorter file names' },
    );
  }
  const header: Header = {
    magic: MAGIC,
    version: geometry.version,
    backingFileOffset: name.length > 0 ? nameAt : 0,
    backingFileSize: name.length,
    clusterBits: image.clusterBits,
    size,
    cryptMethod: image.encryption ? Crypt.LUKS : Crypt.NONE,
    l1Size: layout.l1Entries,
    l1TableOffset: layout.l1Entries > 0 ? layout.l1At * geometry.clusterSize : 0,
    refcountTableOffset: layout.refcountTableAt * geometry.clusterSize,
    refcountTableClusters: layout.refcountTableClusters,
    nbSnapshots: 0,
    snapshotsOffset: 0,
    incompatible: image.incompatible,
    compatible: image.compatible,
    autoclear: image.autoclear,
    refcountOrder: geometry.refcountOrder,
    headerLength,
    compressionType: image.compressionType,
    unknownFields: new Uint8Array(0),
  };
  return Buffer.concat([encodeHeader(header), extensions, name]);
}

function extensionsOf(image: NewImage, layout: Layout, withFeatureNames: boolean): Extension[] {
  const list: Extension[] = [];
  if (image.backingFile !== undefined && image.backingFormat !== undefined) {
    list.push({ type: ExtensionType.BACKING_FORMAT, data: Buffer.from(image.backingFormat) });
  }
  if (image.dataFile !== undefined) list.push({ type: ExtensionType.DATA_FILE, data: Buffer.from(image.dataFile) });
  if (image.encryption) {
    const place = { offset: layout.cryptoAt * image.geometry.clusterSize, length: image.encryption.length };
    list.push({ type: ExtensionType.CRYPTO, data: encodeCryptoExtension(place) });
  }
  if (withFeatureNames && image.geometry.version >= 3) {
    list.push({ type: ExtensionType.FEATURE_NAMES, data: encodeFeatureNames(FEATURE_NAMES) });
  }
  return list;
}
