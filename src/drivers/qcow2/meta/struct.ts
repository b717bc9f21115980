/**
 * On-disk records as tables of fields: decoding and encoding both follow the table, so they cannot drift apart.
 * All numbers are big endian.
 */

/** Width and meaning of a field; `u64` becomes a number (check it before use), `bits` a bigint mask. */
export type FieldKind = 'u8' | 'u16' | 'u32' | 'u64' | 'bits';

export interface Field {
  readonly offset: number;
  readonly kind: FieldKind;
}

export type Fields = Readonly<Record<string, Field>>;

export type Values<F extends Fields> = { -readonly [K in keyof F]: F[K]['kind'] extends 'bits' ? bigint : number };

const WIDTH: Readonly<Record<FieldKind, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, bits: 8 };

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

/** Bytes from the start of the record to the end of its last field. */
export function recordSize(fields: Fields): number {
  let end = 0;
  for (const field of Object.values(fields)) end = Math.max(end, field.offset + WIDTH[field.kind]);
  return end;
}

/** Fail at load when a table has gaps or overlaps: `size` is what the specification gives. */
export function assertLayout(name: string, fields: Fields, size: number): void {
  let end = 0;
  for (const [key, field] of Object.entries(fields)) {
    if (field.offset !== end) throw new Error(`${name}.${key} is at ${field.offset}, expected ${end}`);
    end += WIDTH[field.kind];
  }
  if (end !== size) throw new Error(`${name} is ${end} bytes long, expected ${size}`);
}

/** Decode the fields that lie within `limit` bytes; those beyond are zero. */
export function decodeFields<F extends Fields>(fields: F, view: DataView, limit = view.byteLength): Values<F> {
  const values: Record<string, number | bigint> = {};
  for (const [key, { offset, kind }] of Object.entries(fields)) {
    const present = offset + WIDTH[kind] <= limit;
    if (kind === 'bits') values[key] = present ? view.getBigUint64(offset) : 0n;
    else values[key] = present ? getField(view, offset, kind) : 0;
  }
  return values as Values<F>;
}

/** Encode the fields that lie within `limit` bytes. */
export function encodeFields<F extends Fields>(
  fields: F,
  values: Values<F>,
  view: DataView,
  limit = view.byteLength,
): void {
  for (const [key, { offset, kind }] of Object.entries(fields)) {
    if (offset + WIDTH[kind] > limit) continue;
    const value: number | bigint | undefined = values[key];
    if (typeof value === 'bigint') view.setBigUint64(offset, value);
    else setField(view, offset, kind, value ?? 0);
  }
}

function getField(view: DataView, offset: number, kind: FieldKind): number {
  if (kind === 'u8') return view.getUint8(offset);
  if (kind === 'u16') return view.getUint16(offset);
  if (kind === 'u32') return view.getUint32(offset);
  return getU64(view, offset);
}

function setField(view: DataView, offset: number, kind: FieldKind, value: number): void {
  if (kind === 'u8') view.setUint8(offset, value);
  else if (kind === 'u16') view.setUint16(offset, value);
  else if (kind === 'u32') view.setUint32(offset, value);
  else setU64(view, offset, value);
}
