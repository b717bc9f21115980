/** Reads that are not a single one of the driver's: past the end of the image, unaligned, too long, into several buffers. */
import type { Maybe } from '../../async/maybe.ts';
import { inPieces, segmentsOf, sliceBuffers, totalLength } from './pieces.ts';
import { type Fit, readPadded } from './unaligned.ts';

/** Fill `bufs` from `offset`. A short file below a longer disk reads as zeroes past its end. */
export function readParts(fit: Fit, offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
  const { size } = fit.image;
  const length = totalLength(bufs);
  if (offset + length <= size) return readWithin(fit, offset, bufs);
  const inside = Math.max(0, Math.min(length, size - offset));
  for (const part of sliceBuffers(bufs, inside, length)) part.fill(0);
  return inside === 0 ? undefined : readWithin(fit, offset, sliceBuffers(bufs, 0, inside));
}

/** All of it lies within the image. */
function readWithin(fit: Fit, offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
  const { image, align, maxTransfer } = fit;
  const mask = align - 1;
  const length = totalLength(bufs);
  if (((offset | length) & mask) !== 0) return readPadded(fit, offset, bufs);
  if (image.readv && bufs.length > 1) {
    return inPieces(length, maxTransfer, (at, n) => image.readv?.(offset + at, sliceBuffers(bufs, at, at + n)));
  }
  if (bufs.some((buf) => (buf.length & mask) !== 0)) return readPadded(fit, offset, bufs);
  const segments = segmentsOf(bufs, maxTransfer);
  return inPieces(segments.length, 1, (index) => {
    const segment = segments[index];
    return segment && image.read(offset + segment.at, segment.buf);
  });
}
