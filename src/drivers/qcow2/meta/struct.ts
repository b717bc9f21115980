/** 64-bit numbers as two halves, and the field of a record table that holds one. */
import type { StructField } from '../../../core/bytes/struct.ts';

const HIGH = 2 ** 32;

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A copy of bytes [from, to). (`slice` of a Buffer would be a view.) */
export function copyOf(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(bytes.subarray(from, to));
}

/** A 64-bit number; above 2^53 it is rounded, which is good enough to compare with a limit and to refuse. */
export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset) * HIGH + view.getUint32(offset + 4);
}

/** Store a safe integer in 64 bits. */
export function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / HIGH));
  view.setUint32(offset + 4, value >>> 0);
}

/** A record field of 64 bits read as {@link getU64} does: whoever decodes the record compares it with a limit. */
export function rounded64(offset: number): StructField<number> {
  return {
    offset,
    width: 8,
    read: (view, at) => getU64(view, at),
    write: (view, at, _little, value) => setU64(view, at, value),
  };
}

/** Field values that may be changed. */
export type Mutable<T> = { -readonly [K in keyof T]: T[K] };
