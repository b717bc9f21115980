/** Feature bits of the header that say in which state an image is. */
import type { CheckedImage } from '../check/state.ts';
import { KNOWN_AUTOCLEAR } from '../meta/features.ts';
import { HEADER_OFFSET } from '../meta/header.ts';
import { viewOf } from '../meta/struct.ts';

/** Forget, before anything is changed, what unknown features have vouched for: they will not be kept in step. */
export async function clearUnknownAutoclear({ header, file }: CheckedImage): Promise<void> {
  if (header.version < 3 || (header.autoclear & ~KNOWN_AUTOCLEAR) === 0n) return;
  header.autoclear &= KNOWN_AUTOCLEAR;
  await file.write(HEADER_OFFSET.autoclear, bits64(header.autoclear));
  await file.flush();
}

function bits64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, value);
  return bytes;
}

/** Clear incompatible feature bits on disk and in `header`; what was written before is on stable storage first. */
export async function clearIncompatible({ header, file }: CheckedImage, bits: bigint): Promise<void> {
  if (header.version < 3 || (header.incompatible & bits) === 0n) return;
  await file.flush();
  header.incompatible &= ~bits;
  await file.write(HEADER_OFFSET.incompatible, bits64(header.incompatible));
  await file.flush();
}
