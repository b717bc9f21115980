/** The lines that commands print: sizes, times, rates, hex dumps. Scripts read them, so their form is fixed. */
import { printable } from '../cli/output.ts';

const UNITS: readonly (readonly [size: number, name: string])[] = [
  [2 ** 60, 'EiB'],
  [2 ** 50, 'PiB'],
  [2 ** 40, 'TiB'],
  [2 ** 30, 'GiB'],
  [2 ** 20, 'MiB'],
  [2 ** 10, 'KiB'],
];

/** Bytes in the largest unit that they fill: `64 KiB`, `1.062 MiB`, `0.954291 bytes`. */
export function sizeText(bytes: number): string {
  for (const [size, name] of UNITS) if (bytes >= size) return `${trimmed(fixed3(bytes / size))} ${name}`;
  return `${trimmed(bytes.toFixed(6))} bytes`;
}

/** No fraction at all where it begins with three zeroes. */
function trimmed(digits: string): string {
  const zeroes = digits.indexOf('.000');
  return zeroes < 0 ? digits : digits.slice(0, zeroes);
}

/**
 * Three decimals as C rounds them: a tie goes to the even digit, where JavaScript rounds it up. A tie in the
 * fourth decimal is an odd number of sixteenths, which sizes in larger units often are.
 */
function fixed3(value: number): string {
  const sixteenths = value * 16;
  if (!Number.isInteger(sixteenths) || sixteenths % 2 === 0) return value.toFixed(3);
  const below = Math.floor(value * 1000);
  return ((below % 2 === 0 ? below : below + 1) / 1000).toFixed(3);
}

/** `00.01 sec`, or with hours from one second on, or when asked for: `0:00:01.51`. */
export function timeText(seconds: number, withHours = false): string {
  if (seconds < 1 && !withHours) return `${padded(seconds)} sec`;
  const whole = Math.floor(seconds);
  const minutes = String(Math.floor(whole / 60) % 60).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${minutes}:${padded((whole % 60) + (seconds - whole))}`;
}

function padded(seconds: number): string {
  return seconds.toFixed(2).padStart(5, '0');
}

export interface Transfer {
  /** `read`, `wrote`, `discard`: what the first line begins with. */
  readonly verb: string;
  readonly offset: number;
  /** Bytes asked for, and bytes done. */
  readonly length: number;
  readonly done: number;
  readonly seconds: number;
}

/** The two lines after a request: what was done, and how fast. */
export function transferText({ verb, offset, length, done, seconds }: Transfer): string {
  const rate = `${sizeText(done / seconds)}/sec and ${(1 / seconds).toFixed(4)} ops/sec`;
  return `${verb} ${done}/${length} bytes at offset ${offset}\n${sizeText(done)}, 1 ops; ${timeText(seconds)} (${rate})\n`;
}

/** The same for a program: bytes, requests, time, bytes per second, requests per second. */
export function transferFields({ done, seconds }: Transfer): string {
  return `${done},1,${timeText(seconds, true)},${(done / seconds).toFixed(3)},${(1 / seconds).toFixed(3)}\n`;
}

const ROW = 16;
const ROWS_AT_ONCE = 1024;
const HEX = Array.from({ length: 256 }, (_, byte) => `${byte.toString(16).padStart(2, '0')} `);
const SHOWN = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return /[0-9A-Za-z]/.test(char) ? char : '.';
});

/** Sixteen bytes a line: offset, hexadecimal, letters and digits. Handed to `print` in pieces. */
export function hexDump(data: Uint8Array, offset: number, print: (text: string) => void): void {
  for (let at = 0; at < data.length; ) {
    const lines: string[] = [];
    for (; at < data.length && lines.length < ROWS_AT_ONCE; at += ROW) {
      lines.push(dumpRow(data.subarray(at, at + ROW), offset + at));
    }
    print(lines.join(''));
  }
}

function dumpRow(row: Uint8Array, offset: number): string {
  let hex = '';
  let shown = '';
  for (const byte of row) {
    hex += HEX[byte];
    shown += SHOWN[byte];
  }
  return `${offset.toString(16).padStart(8, '0')}:  ${hex} ${shown}\n`;
}

const LONGEST_WORD = 80;

/** A word that is wrong may be anything, also a thousand letters. */
export function shortened(word: string): string {
  return printable(word.length > LONGEST_WORD ? `${word.slice(0, LONGEST_WORD)}…` : word);
}
