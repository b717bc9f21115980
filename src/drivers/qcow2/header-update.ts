/** Rewriting the first cluster: header, extensions, backing file name. */
import type { Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import type { Disk } from './disk.ts';
import { ExtensionType, encodeExtensions, withExtension } from './meta/extensions.ts';
import { encodeHeader } from './meta/header.ts';
import { inOrder } from './sequence.ts';

/**
 * Write the header with its extensions and the backing file name as they are in memory. Throws when they do
 * not fit into the first cluster, with nothing written and the header in memory as before.
 */
export function rewriteHeader(disk: Disk): Maybe<void> {
  const { header, parts, geometry, fileName } = disk;
  const name = parts.backingFileName === undefined ? undefined : Buffer.from(parts.backingFileName, 'utf8');
  const extensions = encodeExtensions(parts.extensions);
  const nameAt = header.headerLength + extensions.length;
  const end = nameAt + (name?.length ?? 0);
  if (end > geometry.clusterSize) {
    throw new BlockError(`'${fileName}': the header needs ${end} bytes, a cluster has only ${geometry.clusterSize}`, {
      code: 'ENOSPC',
    });
  }
  header.backingFileOffset = name ? nameAt : 0;
  header.backingFileSize = name?.length ?? 0;
  const bytes = new Uint8Array(Math.min(geometry.clusterSize, Math.ceil(Math.max(end, parts.usedBytes) / 512) * 512));
  bytes.set(encodeHeader(header));
  bytes.set(extensions, header.headerLength);
  if (name) bytes.set(name, nameAt);
  parts.usedBytes = end;
  return disk.file.write(0, bytes);
}

/** Whether the image can have a backing file of that name (undefined: none). */
export function assertBackingFits({ fileName, dataFileRaw }: Disk, name: string | undefined): void {
  if (name === undefined) return;
  if (dataFileRaw) {
    throw new BlockError(
      `'${fileName}' has a data file that is to stay valid by itself, so it can have no backing file`,
      {
        code: 'ENOTSUP',
      },
    );
  }
  if (Buffer.byteLength(name) > MAX_NAME) {
    throw new BlockError(`the backing file name has ${Buffer.byteLength(name)} bytes, the limit is ${MAX_NAME}`);
  }
}

/** Bytes. */
const MAX_NAME = 1023;

/** Name another backing file (undefined: none) in the header. */
export function changeBacking(disk: Disk, name: string | undefined, format: string | undefined): Maybe<void> {
  const { parts } = disk;
  const before = { name: parts.backingFileName, extensions: parts.extensions };
  const data = name === undefined || format === undefined ? undefined : Buffer.from(format, 'utf8');
  assertBackingFits(disk, name);
  parts.backingFileName = name;
  const rest = withExtension(parts.extensions, ExtensionType.BASE_FINGERPRINT, undefined);
  parts.extensions = withExtension(rest, ExtensionType.BACKING_FORMAT, data);
  return inOrder([
    () => {
      try {
        return rewriteHeader(disk);
      } catch (error) {
        parts.backingFileName = before.name;
        parts.extensions = before.extensions;
        throw error;
      }
    },
    () => disk.file.flush(),
  ]);
}
