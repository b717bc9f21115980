/** Numbers as commands take them: offsets and lengths with a suffix, pattern bytes. */
import { readSize } from '../../core/bytes/sizes.ts';

/** `syntax`: no number at all, or a negative one; `range`: beyond 2^63 - 1. */
export type NumberFault = 'syntax' | 'range';

/** Longest read, write or discard in bytes: 2^31 - 1 in whole sectors. */
export const MAX_REQUEST = 2147483136;

const MAX_NUMBER = 2n ** 63n - 1n;
const LARGE = /^\s*\+?(0x[0-9a-f]+|\d+)(?:\.\d*)?([bkmgtpe]?)$/i;
const SUFFIXES = 'bkmgtpe';
/** Digits that a number holds exactly, whatever they are. */
const SAFE_DIGITS = 15;
const KIB = 1024;

/**
 * An offset or a length in bytes: `512`, `64k`, `1.5M`, `0x200`. Beyond 2^53 the value is an approximation;
 * every image is shorter, so that all that can be said of such an offset is that it lies outside.
 */
export function parseNumber(text: string): number | NumberFault {
  const length = text.length;
  let value = 0;
  let at = 0;
  while (at < length && at < SAFE_DIGITS) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
    at++;
  }
  if (at === length && at > 0) return value;
  if (at === length - 1 && at > 0) {
    const scaled = value * unitOf(text.charCodeAt(at));
    if (scaled <= Number.MAX_SAFE_INTEGER) return scaled;
  }
  return parseUnusual(text);
}

/** The most used suffixes; NaN for all others. */
function unitOf(code: number): number {
  switch (code | 0x20) {
    case 0x6b:
      return KIB;
    case 0x6d:
      return KIB ** 2;
    case 0x67:
      return KIB ** 3;
    default:
      return Number.NaN;
  }
}

function parseUnusual(text: string): number | NumberFault {
  const size = readSize(text);
  if (size.ok) return size.value;
  const large = LARGE.exec(text);
  if (size.reason === 'syntax' || !large) return 'syntax';
  const power = Math.max(0, SUFFIXES.indexOf((large[2] ?? '').toLowerCase()));
  const value = BigInt(large[1] ?? '0') * BigInt(KIB) ** BigInt(power);
  return value <= MAX_NUMBER ? Number(value) : 'range';
}

const INTEGER = /^\s*[+-]?(?:0x[0-9a-f]+|\d+)$/i;

/** A whole number as C reads it: decimal, `0x` hexadecimal or `0` octal. Undefined when it is none. */
export function parseInteger(text: string): number | undefined {
  if (!INTEGER.test(text)) return undefined;
  const negative = text.includes('-');
  const digits = text.trim().replace(/^[+-]/, '');
  const octal = /^0\d/.test(digits);
  if (octal && /[89]/.test(digits)) return undefined;
  const magnitude = octal ? Number.parseInt(digits, 8) : Number(digits);
  return negative ? -magnitude : magnitude;
}

/** A byte from 0 to 255; undefined for everything else. */
export function parsePattern(text: string): number | undefined {
  const value = parseInteger(text);
  return value !== undefined && value >= 0 && value <= 255 ? value : undefined;
}
