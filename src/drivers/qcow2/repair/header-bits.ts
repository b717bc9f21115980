/** Feature bits of the header that say in which state an image is. */
import type { CheckedImage } from '../check/state.ts';
import { HEADER_OFFSET } from '../meta/header.ts';
import { viewOf } from '../meta/struct.ts';

/** Clear incompatible feature bits on disk and in `header`; what was written before is on stable storage first. */
export async function clearIncompatible({ header, file }: CheckedImage, bits: bigint): Promise<void> {
  if (header.version < 3 || (header.incompatible & bits) === 0n) return;
  await file.flush();
  header.incompatible &= ~bits;
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, header.incompatible);
  await file.write(HEADER_OFFSET.incompatible, bytes);
  await file.flush();
}
