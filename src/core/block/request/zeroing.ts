/** Zeroing a range: by the driver's own means where it has them, by writing zeroes where it has not. */
import { after, type Maybe } from '../../async/maybe.ts';
import { alignDown, alignUp } from '../../bytes/ranges.ts';
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import type { Flags, Image } from '../driver.ts';
import { Flag } from '../driver.ts';
import { inPieces } from './pieces.ts';

/** Longest single write of zeroes in bytes. */
export const ZERO_CHUNK = 1 << 20;
let zeroChunk: Buffer | undefined;

export interface ZeroRequest {
  readonly offset: number;
  readonly length: number;
  readonly flags: Flags;
}

type WriteZeroes = (offset: number, buf: Uint8Array) => Maybe<void>;

/**
 * Zero `request` of `image`; pieces that the driver declines are written through `write`, unless the
 * request says NO_FALLBACK, which then fails with NotSupported. The driver sees whole units of its
 * `zeroAlignment`, the last of which may be cut short by the end of the disk, and parts of one if it takes them.
 */
export function zeroInPieces(image: Image, request: ZeroRequest, write: WriteZeroes): Maybe<void> {
  const { offset, length, flags } = request;
  if (!image.zero) return writeZeroes(request, write);
  const unit = Math.max(1, image.limits?.requestAlignment ?? 1, image.limits?.zeroAlignment ?? 1);
  const stop = offset + length;
  const start = Math.min(stop, alignUp(offset, unit));
  const end = Math.max(start, stop >= image.size ? stop : alignDown(stop, unit));
  const limit = Math.max(unit, alignDown(image.limits?.maxZero ?? Number.MAX_SAFE_INTEGER, unit));
  const head = { offset, length: start - offset, flags };
  const tail = { offset: end, length: stop - end, flags };
  const middle = () =>
    inPieces(end - start, limit, (at, n) => zeroOrWrite(image, { offset: start + at, length: n, flags }, write));
  // The parts first: where they may not be written, and the driver declines them, the units are left as they are.
  const parts = [head, tail].filter(({ length }) => length > 0);
  if (!parts.every((part) => takesPart(image, part))) refuseWriting(flags);
  return after(zeroPart(image, head, write), () => after(zeroPart(image, tail, write), middle));
}

/** Less than a unit: for the driver to try when it wants to and the blocks are whole. */
function takesPart(image: Image, { offset, length }: ZeroRequest): boolean {
  const { requestAlignment = 1, takesParts = false } = image.limits ?? {};
  return takesParts && offset % requestAlignment === 0 && length % requestAlignment === 0;
}

function zeroPart(image: Image, part: ZeroRequest, write: WriteZeroes): Maybe<void> {
  if (part.length === 0) return;
  return takesPart(image, part) ? zeroOrWrite(image, part, write) : writeZeroes(part, write);
}

function zeroOrWrite(image: Image, request: ZeroRequest, write: WriteZeroes): Maybe<void> {
  const known = request.flags & ((image.zeroFlags ?? 0) | Flag.NO_FALLBACK);
  const declined = (error: unknown): Maybe<void> => {
    if (error instanceof BlockError && error.code === 'ENOTSUP') return writeZeroes(request, write);
    throw error;
  };
  try {
    const done = image.zero?.(request.offset, request.length, known);
    return done instanceof Promise ? done.catch(declined) : done;
  } catch (error) {
    return declined(error);
  }
}

function writeZeroes(request: ZeroRequest, write: WriteZeroes): Maybe<void> {
  if (request.length === 0) return;
  refuseWriting(request.flags);
  zeroChunk ??= Buffer.alloc(ZERO_CHUNK);
  const chunk = zeroChunk;
  return inPieces(request.length, ZERO_CHUNK, (at, n) => write(request.offset + at, chunk.subarray(0, n)));
}

function refuseWriting(flags: Flags): void {
  if ((flags & Flag.NO_FALLBACK) !== 0) throw new NotSupported('zeroing without writing is not possible here');
}
