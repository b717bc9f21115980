/** What a partly written cluster keeps of its old content. */
import { after, type Maybe } from '../../core/async/maybe.ts';
import { isZero } from '../../core/bytes/zero.ts';
import type { Disk } from './disk.ts';
import { readsZero } from './mapping.ts';
import { readv } from './read.ts';

/**
 * The bytes [offset, offset + length) of the disk as they are now, or undefined when they are all zero (then
 * nothing is read where the tables tell it). What lies past the end of the disk is zero.
 */
export function oldContent(disk: Disk, offset: number, length: number): Maybe<Uint8Array | undefined> {
  const inside = Math.min(length, disk.size - offset);
  if (inside <= 0) return undefined;
  return after(readsZero(disk, offset, inside), (zero) => {
    if (zero) return undefined;
    const bytes = Buffer.allocUnsafeSlow(length);
    if (inside < length) bytes.fill(0, inside);
    const read = () => readv(disk, offset, [bytes.subarray(0, inside)], inside);
    return after(disk.announcing('cow_read', read), () => (isZero(bytes) ? undefined : bytes));
  });
}
