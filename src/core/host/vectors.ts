import { MAX_VECTORS } from './address.ts';

/** Sum of the lengths of all buffers, in bytes. */
export function totalLength(buffers: readonly Uint8Array[]): number {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  return total;
}

/** What is left of a list of buffers after its first `done` bytes. */
export function skipBytes(buffers: readonly Uint8Array[], done: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let left = done;
  for (const buffer of buffers) {
    if (left >= buffer.length) {
      left -= buffer.length;
      continue;
    }
    rest.push(left === 0 ? buffer : buffer.subarray(left));
    left = 0;
  }
  return rest;
}

/** The first buffers of a list that one call may take: at most `IOV_MAX` of them and `limit` bytes. */
export function firstBatch(buffers: readonly Uint8Array[], limit: number): readonly Uint8Array[] {
  if (buffers.length <= MAX_VECTORS && totalLength(buffers) <= limit) return buffers;
  const batch: Uint8Array[] = [];
  let room = limit;
  for (const buffer of buffers) {
    if (batch.length === MAX_VECTORS || room === 0) break;
    batch.push(buffer.length > room ? buffer.subarray(0, room) : buffer);
    room -= Math.min(room, buffer.length);
  }
  return batch;
}
