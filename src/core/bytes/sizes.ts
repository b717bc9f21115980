/** Reading and writing of byte counts as people type and read them: `64k`, `1.5G`, `1.5 GiB`. */
import { BlockError, Usage } from '../errors/block-error.ts';

/** The largest offset, length or size in bytes: beyond it a `number` is no longer exact. */
export const MAX_SIZE = Number.MAX_SAFE_INTEGER;

/** The largest size below 2^63 that a `number` holds: for sizes that are computed with, but not addressed by. */
export const HUGE_SIZE = 2 ** 63 - 1024;

export type SizeResult =
  | { readonly ok: true; readonly value: number }
  /** `syntax`: not a size at all; `range`: a size, but beyond the limit, or negative. */
  | { readonly ok: false; readonly reason: 'syntax' | 'range' };

const SYNTAX: SizeResult = { ok: false, reason: 'syntax' };
const RANGE: SizeResult = { ok: false, reason: 'range' };

const SUFFIXES = 'bkmgtpe';
const DECIMAL = /^\s*\+?(\d+)(?:\.(\d*))?([bkmgtpe]?)$/i;
const HEX = /^\s*\+?0x([0-9a-f]+)([kmgtp]?)$/i;
const NEGATIVE = /^\s*-\d/;
/** More digits of a fraction than a double can hold would round it up to a whole unit. */
const FRACTION_DIGITS = 15;

/**
 * A size in bytes: decimal, with a fraction where a suffix gives it a meaning, or `0x` hexadecimal without one.
 * The suffixes b, k, M, G, T, P, E (either case) are powers of 1024. What is left of a byte is cut off. A size beyond
 * {@link MAX_SIZE} is one only with a higher `limit`, and where a `number` holds it exactly.
 */
export function readSize(text: string, limit: number = MAX_SIZE): SizeResult {
  const size = exactSize(text);
  if (typeof size !== 'bigint') return size;
  const value = Number(size);
  return value <= limit && BigInt(value) === size ? { ok: true, value } : RANGE;
}

function exactSize(text: string): bigint | SizeResult {
  const hex = HEX.exec(text);
  if (hex) return scaled(BigInt(`0x${hex[1]}`), '', hex[2] ?? '');
  const match = DECIMAL.exec(text);
  if (match) return scaled(BigInt(match[1] ?? '0'), match[2] ?? '', match[3] ?? '');
  return NEGATIVE.test(text) ? RANGE : SYNTAX;
}

function scaled(whole: bigint, fraction: string, suffix: string): bigint | SizeResult {
  const power = suffix === '' ? 0 : SUFFIXES.indexOf(suffix.toLowerCase());
  const part = Number(`0.${fraction.slice(0, FRACTION_DIGITS)}0`);
  if (power === 0 && part !== 0) return SYNTAX;
  const unit = 1024 ** power;
  return whole * BigInt(unit) + BigInt(Math.floor(part * unit));
}

/**
 * {@link readSize} for a word of a command line; `what` names it in the error (`image size`).
 * @throws Usage, with separate sentences for what is no size and for what is too large.
 */
export function parseSize(text: string, what: string, limit: number = MAX_SIZE): number {
  const result = readSize(text, limit);
  if (result.ok) return result.value;
  if (result.reason === 'range')
    throw new Usage(`${what} '${text}' is out of range, it must be 0 to ${BigInt(limit)} bytes`);
  throw new Usage(`${what} expects a number of bytes such as 65536, 64k or 1.5G, not '${text}'`, {
    hint: 'The suffixes k, M, G, T, P and E stand for powers of 1024',
  });
}

/** A 64-bit value from a file or the wire as a `number`; `what` names the field in the error. */
export function safeNumber(value: bigint, what: string): number {
  if (value >= 0n && value <= BigInt(MAX_SIZE)) return Number(value);
  throw new BlockError(`${what} is ${value}, beyond the largest supported value ${MAX_SIZE}`, { code: 'EFBIG' });
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** Three significant digits and a unit: `196 KiB`, `1.5 GiB`; from 1000 of one unit on, the next is used. */
export function formatSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${threeDigits(value)} ${UNITS[unit] ?? ''}`;
}

/** C's `%.3g`: three significant digits, no trailing zeroes, an exponent from 1000 on (999.7 gives 1e+03). */
function threeDigits(value: number): string {
  const text = toEven(value).toPrecision(3);
  const at = text.indexOf('e');
  const digits = at < 0 ? text : text.slice(0, at);
  const short = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  if (at < 0) return short;
  return `${short}e${text[at + 1] ?? '+'}${text.slice(at + 2).padStart(2, '0')}`;
}

/** A value half-way between two roundings to three digits is moved towards the even one, where C rounds it. */
function toEven(value: number): number {
  const [, third = ''] = /^[0.]*\d\.?\d\.?(\d)\.?50*$/.exec(value.toPrecision(60)) ?? [];
  return third !== '' && Number(third) % 2 === 0 ? value * (1 - Number.EPSILON) : value;
}

/** The shortest exact spelling with a suffix: 65536 is `64k`, 1000 is `1000`. */
export function shortSize(bytes: number): string {
  let power = 0;
  let value = bytes;
  while (value >= 1024 && value % 1024 === 0 && power < 6) {
    value /= 1024;
    power++;
  }
  return power === 0 ? String(value) : `${value}${'kMGTPE'[power - 1] ?? ''}`;
}
