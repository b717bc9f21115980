import type { Maybe } from '../../async/maybe.ts';
import { isZero } from '../../bytes/zero.ts';
import type { Flags } from '../driver.ts';
import { Flag } from '../driver.ts';

/** The `detect-zeroes` option: turn writes of zeroes into zeroing, and with unmap into deallocation. */
export type DetectZeroes = 'off' | 'on' | 'unmap';

interface Zeroing {
  zero(offset: number, length: number, flags: Flags): Maybe<void>;
}

/** False when `buf` holds anything but zeroes and must be written as data. */
export function writeAsZero(
  io: Zeroing,
  mode: DetectZeroes,
  offset: number,
  buf: Uint8Array,
  flags: Flags,
): Maybe<void> | false {
  if ((flags & Flag.COMPRESSED) !== 0 || !isZero(buf)) return false;
  return io.zero(offset, buf.length, flags | (mode === 'unmap' ? Flag.MAY_UNMAP : 0));
}
