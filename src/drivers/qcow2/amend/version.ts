/** The version of the format: its header, and what only version 3 has in it. */
import type { Disk } from '../disk.ts';
import { rewriteHeader } from '../header-update.ts';
import { type Extension, ExtensionType, encodeExtensions, withExtension } from '../meta/extensions.ts';
import { encodeFeatureNames, FEATURE_NAMES } from '../meta/features.ts';
import { type Header, V2_HEADER_BYTES, V3_HEADER_BYTES } from '../meta/header.ts';

/** Everything that version 2 has means the same in version 3. */
export async function toVersion3(disk: Disk): Promise<void> {
  const { parts, geometry } = disk;
  const names = encodeFeatureNames(FEATURE_NAMES);
  const named = withExtension(parts.extensions, ExtensionType.FEATURE_NAMES, names);
  const nameBytes = Buffer.byteLength(parts.backingFileName ?? '');
  // The names of features are a courtesy: where there is no room for them, they are left out.
  const fits = V3_HEADER_BYTES + encodeExtensions(named).length + nameBytes <= geometry.clusterSize;
  await change(disk, fits ? named : parts.extensions, { version: 3, headerLength: V3_HEADER_BYTES });
}

/** The image has nothing left that version 2 lacks. */
export async function toVersion2(disk: Disk): Promise<void> {
  const extensions = withExtension(disk.parts.extensions, ExtensionType.FEATURE_NAMES, undefined);
  await change(disk, extensions, {
    version: 2,
    headerLength: V2_HEADER_BYTES,
    incompatible: 0n,
    compatible: 0n,
    autoclear: 0n,
    unknownFields: new Uint8Array(0),
  });
}

async function change(disk: Disk, extensions: readonly Extension[], fields: Partial<Header>): Promise<void> {
  const { header, parts } = disk;
  const before = { header: { ...header }, extensions: parts.extensions };
  Object.assign(header, fields);
  parts.extensions = extensions;
  try {
    await rewriteHeader(disk);
  } catch (error) {
    Object.assign(header, before.header);
    parts.extensions = before.extensions;
    throw error;
  }
  await disk.file.flush();
}
