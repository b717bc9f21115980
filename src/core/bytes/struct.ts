/**
 * Tables of on-disk and on-the-wire records: one line per field, from which decoding and encoding follow.
 *
 * ```ts
 * const HEADER = struct('qcow2 header', 'big', 72, {
 *   magic: u32(0),
 *   version: u32(4),
 *   backingFileOffset: size64(8),   // number, refused beyond 2^53-1
 *   cookie: u64(16),                // bigint
 *   …
 * });
 * const header = HEADER.decode(bytes);      // { magic: number, …, cookie: bigint }
 * HEADER.encode({ ...header, version: 3 }); // Uint8Array of 72 bytes
 * ```
 *
 * Fields must follow one another without gap or overlap and fill the whole size; a table that does not is a
 * mistake of ours and fails when its module is loaded. Name unused bytes with `raw`.
 */
import { BlockError } from '../errors/block-error.ts';
import { safeNumber } from './sizes.ts';

export interface StructField<T> {
  /** Bytes from the start of the record. */
  readonly offset: number;
  readonly width: number;
  read(view: DataView, at: number, little: boolean, name: string): T;
  write(view: DataView, at: number, little: boolean, value: T): void;
}

type FieldTable = Readonly<Record<string, StructField<never>>>;
type ValueOf<F> = F extends { read(...args: never[]): infer T } ? T : never;
export type StructValues<F> = { [K in keyof F]: ValueOf<F[K]> };

export interface Struct<F> {
  readonly name: string;
  /** Bytes of the whole record. */
  readonly size: number;
  /** Where each field begins, in bytes. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** @throws BlockError when fewer than `size` bytes follow `at`, or a `size64` is too large. */
  decode(bytes: Uint8Array, at?: number): StructValues<F>;
  /** Into `target` at `at`, or into a new buffer; fields that are left out keep what `target` holds. */
  encode(values: Partial<StructValues<F>>, target?: Uint8Array, at?: number): Uint8Array;
}

export function u8(offset: number): StructField<number> {
  return { offset, width: 1, read: (v, at) => v.getUint8(at), write: (v, at, _, value) => v.setUint8(at, value) };
}

export function u16(offset: number): StructField<number> {
  return {
    offset,
    width: 2,
    read: (v, at, little) => v.getUint16(at, little),
    write: (v, at, little, value) => v.setUint16(at, value, little),
  };
}

export function u32(offset: number): StructField<number> {
  return {
    offset,
    width: 4,
    read: (v, at, little) => v.getUint32(at, little),
    write: (v, at, little, value) => v.setUint32(at, value, little),
  };
}

export function i32(offset: number): StructField<number> {
  return {
    offset,
    width: 4,
    read: (v, at, little) => v.getInt32(at, little),
    write: (v, at, little, value) => v.setInt32(at, value, little),
  };
}

/** 64 bits as a bigint: bit fields and cookies. */
export function u64(offset: number): StructField<bigint> {
  return {
    offset,
    width: 8,
    read: (v, at, little) => v.getBigUint64(at, little),
    write: (v, at, little, value) => v.setBigUint64(at, value, little),
  };
}

/** 64 bits that are an offset or a size: a number, refused beyond 2^53-1. */
export function size64(offset: number): StructField<number> {
  return {
    offset,
    width: 8,
    read: (v, at, little, name) => safeNumber(v.getBigUint64(at, little), name),
    write: (v, at, little, value) => v.setBigUint64(at, BigInt(value), little),
  };
}

/** `width` bytes as they are, copied. */
export function raw(offset: number, width: number): StructField<Uint8Array> {
  return {
    offset,
    width,
    read: (v, at) => new Uint8Array(v.buffer, v.byteOffset + at, width).slice(),
    write: (v, at, _, value) => fill(v, at, width, value),
  };
}

/** Text of at most `width` bytes in UTF-8, ended by a NUL or the end of the field; zeroes fill the rest. */
export function fixedText(offset: number, width: number): StructField<string> {
  return {
    offset,
    width,
    read: (v, at) => {
      const bytes = new Uint8Array(v.buffer, v.byteOffset + at, width);
      const end = bytes.indexOf(0);
      return Buffer.from(bytes.subarray(0, end < 0 ? width : end)).toString('utf8');
    },
    write: (v, at, _, value) => fill(v, at, width, Buffer.from(value, 'utf8')),
  };
}

function fill(view: DataView, at: number, width: number, value: Uint8Array): void {
  if (value.length > width) throw new RangeError(`${value.length} bytes do not fit into a field of ${width}`);
  const target = new Uint8Array(view.buffer, view.byteOffset + at, width);
  target.fill(0);
  target.set(value);
}

/** A record of `size` bytes whose fields are `table`. */
export function struct<const F extends Readonly<Record<string, unknown>>>(
  name: string,
  order: 'big' | 'little',
  size: number,
  table: F,
): Struct<F> {
  const fields = Object.entries(table as unknown as FieldTable);
  assertFilled(name, size, fields);
  const little = order === 'little';
  return {
    name,
    size,
    offsets: Object.fromEntries(fields.map(([key, field]) => [key, field.offset])) as Struct<F>['offsets'],
    decode(bytes, at = 0) {
      if (bytes.length - at < size) {
        throw new BlockError(`${name} needs ${size} bytes, but only ${Math.max(0, bytes.length - at)} are there`);
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset + at, size);
      const values: Record<string, unknown> = {};
      for (const [key, field] of fields) values[key] = field.read(view, field.offset, little, `${name}: ${key}`);
      return values as StructValues<F>;
    },
    encode(values, target = new Uint8Array(size), at = 0) {
      const view = new DataView(target.buffer, target.byteOffset + at, size);
      for (const [key, field] of fields) {
        const value: unknown = values[key];
        if (value !== undefined) field.write(view, field.offset, little, value as never);
      }
      return target;
    },
  };
}

function assertFilled(name: string, size: number, fields: readonly (readonly [string, StructField<never>])[]): void {
  let at = 0;
  for (const [key, field] of fields) {
    if (field.offset !== at) throw new Error(`${name}: field ${key} is at ${field.offset}, but ${at} comes next`);
    at += field.width;
  }
  if (at !== size) throw new Error(`${name}: fields fill ${at} of ${size} bytes`);
}
