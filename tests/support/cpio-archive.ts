/** Archives in cpio's "new ASCII" form, which the kernel unpacks as its first root. */

export interface ArchiveEntry {
  /** Path, without a leading slash. */
  readonly name: string;
  /** As in st_mode: kind and permissions. */
  readonly mode: number;
  readonly data: Uint8Array;
}

export function cpioArchive(entries: readonly ArchiveEntry[]): Buffer {
  const parts: Buffer[] = [];
  const all = [...entries, { name: 'TRAILER!!!', mode: 0, data: new Uint8Array(0) }];
  for (const [index, { name, mode, data }] of all.entries()) {
    // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, checksum (not used).
    const fields = [index + 1, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
    const header = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    parts.push(padded(Buffer.from(`070701${header}${name}\0`)), padded(Buffer.from(data)));
  }
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  const over = bytes.length % 4;
  return over === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - over)]);
}
