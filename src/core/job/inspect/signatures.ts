/**
 * Marks by which programs know the format of a file, of formats beside our own too: what more than one program could
 * take for its own means different things to different programs.
 */
import fs from 'node:fs';
import { withContext } from '../../errors/block-error.ts';

interface Signature {
  readonly format: string;
  /** Bytes from the start, or from the end when negative. */
  readonly offset: number;
  readonly magic: Buffer;
}

const ascii = (format: string, offset: number, magic: string): Signature => ({
  format,
  offset,
  magic: Buffer.from(magic, 'latin1'),
});

const signatures: readonly Signature[] = [
  ascii('qcow', 0, 'QFI\xfb\0\0\0\x01'),
  ascii('qcow2', 0, 'QFI\xfb\0\0\0\x02'),
  ascii('qcow2', 0, 'QFI\xfb\0\0\0\x03'),
  ascii('qed', 0, 'QED\0'),
  ascii('luks', 0, 'LUKS\xba\xbe'),
  ascii('vmdk', 0, 'KDMV'),
  ascii('vmdk', 0, 'COWD'),
  ascii('vmdk', 0, '# Disk DescriptorFile'),
  ascii('vhdx', 0, 'vhdxfile'),
  ascii('vpc', 0, 'conectix'),
  ascii('vpc', -512, 'conectix'),
  ascii('vpc', -511, 'conectix'),
  ascii('vdi', 64, '\x7f\x10\xda\xbe'),
  ascii('parallels', 0, 'WithoutFreeSpace'),
  ascii('parallels', 0, 'WithouFreSpacExt'),
  ascii('bochs', 0, 'Bochs Virtual HD Image'),
  ascii('cloop', 0, '#!/bin/sh\n#V2.0 Format\n'),
  ascii('dmg', -512, 'koly'),
  ascii('gzip', 0, '\x1f\x8b\x08'),
  ascii('xz', 0, '\xfd7zXZ\0'),
  ascii('zstd', 0, '\x28\xb5\x2f\xfd'),
  ascii('bzip2', 0, 'BZh'),
  ascii('zip', 0, 'PK\x03\x04'),
  ascii('iso9660', 32769, 'CD001'),
];

/** Files that are packed as a whole, and no disks before they are unpacked. */
export const packed: ReadonlySet<string> = new Set(['gzip', 'xz', 'zstd', 'bzip2', 'zip']);

/** The formats whose mark a file has, each once. @throws BlockError when the file cannot be read. */
export function signaturesOf(path: string): string[] {
  let fd: number | undefined;
  try {
    fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const { size } = fs.fstatSync(fd);
    const found = new Set<string>();
    for (const { format, offset, magic } of signatures) {
      const at = offset < 0 ? size + offset : offset;
      if (at < 0 || at + magic.length > size) continue;
      const bytes = Buffer.alloc(magic.length);
      fs.readSync(fd, bytes, 0, bytes.length, at);
      if (bytes.equals(magic)) found.add(format);
    }
    return [...found];
  } catch (error) {
    throw withContext(`cannot read '${path}'`, error);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
