import { isZero } from '../../bytes/zero.ts';
import type { Flags } from '../driver.ts';
import { Flag } from '../driver.ts';

/** The `detect-zeroes` option: turn writes of zeroes into zeroing, and with unmap into deallocation. */
export type DetectZeroes = 'off' | 'on' | 'unmap';

/** Flags for zeroing instead of writing `bufs`; undefined when they hold anything but zeroes and are to be written. */
export function zeroingFlags(mode: DetectZeroes, bufs: readonly Uint8Array[], flags: Flags): Flags | undefined {
  if (mode === 'off' || (flags & Flag.COMPRESSED) !== 0) return undefined;
  for (const buf of bufs) if (!isZero(buf)) return undefined;
  return mode === 'unmap' ? flags | Flag.MAY_UNMAP : flags;
}
