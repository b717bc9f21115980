/**
 * A reader of dm-log-writes logs that knows nothing of ours: written after the kernel's description of the format
 * (drivers/md/dm-log-writes.c, Documentation/admin-guide/device-mapper/log-writes.rst).
 */
export interface LoggedEntry {
  readonly kind: 'write' | 'flush' | 'discard' | 'mark';
  readonly fua: boolean;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
  readonly data: Buffer;
}

export interface ReadLog {
  readonly sectorSize: number;
  readonly entries: LoggedEntry[];
  /** Bytes of the log that the superblock speaks for. */
  readonly end: number;
}

const field = (log: Buffer, at: number) => Number(log.readBigUInt64LE(at));

export function readLog(log: Buffer): ReadLog {
  if (log.readBigUInt64LE(0).toString(16) !== '6a736677736872') throw new Error('no magic');
  if (field(log, 8) !== 1) throw new Error(`version ${field(log, 8)}`);
  const count = field(log, 16);
  const sectorSize = log.readUInt32LE(24);
  const entries: LoggedEntry[] = [];
  let at = sectorSize;
  for (let index = 0; index < count; index++) {
    const [sector, sectors, flags, dataLength] = [0, 8, 16, 24].map((part) => field(log, at + part));
    if (sector === undefined || sectors === undefined || flags === undefined) throw new Error('unreachable');
    if (flags > 15 || dataLength !== 0) throw new Error(`entry ${index}: flags ${flags}, data ${dataLength}`);
    at += sectorSize;
    const discard = (flags & 4) !== 0;
    const length = sectors * sectorSize;
    const data = log.subarray(at, discard ? at : at + length);
    if (!discard) at += length;
    // A sparse end of the log reads as zeroes.
    const whole = Buffer.alloc(discard ? 0 : length);
    data.copy(whole);
    const kind = discard ? 'discard' : (flags & 8) !== 0 ? 'mark' : (flags & 1) !== 0 ? 'flush' : 'write';
    entries.push({ kind, fua: (flags & 2) !== 0, offset: sector * sectorSize, length, data: whole });
  }
  return { sectorSize, entries, end: at };
}

/** The disk after the first `count` entries. */
export function replay(entries: readonly LoggedEntry[], start: Buffer, count = entries.length): Buffer {
  const disk = Buffer.from(start);
  for (const { kind, offset, length, data } of entries.slice(0, count)) {
    if (kind === 'write') data.copy(disk, offset);
    if (kind === 'discard') disk.fill(0, offset, Math.min(disk.length, offset + length));
  }
  return disk;
}
