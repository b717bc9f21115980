/** Printing for people and programs in the forms that scripts know. */
import fs from 'node:fs';
import { formatSize } from '../../core/bytes/sizes.ts';
import { asBlockError, BlockError } from '../../core/errors/block-error.ts';

const INDENT = '    ';

/**
 * JSON over several lines: four spaces per level, a line per member, also for a list or object without any,
 * and ASCII only. Members that are undefined are left out; bigints are whole numbers. No final newline.
 */
export function prettyJson(value: unknown, level = 0): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  const inner = INDENT.repeat(level + 1);
  const members = Array.isArray(value)
    ? value.map((item) => inner + prettyJson(item, level + 1))
    : Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .map(([key, member]) => `${inner}${quoted(key)}: ${prettyJson(member, level + 1)}`);
  return [open, members.join(',\n'), `${INDENT.repeat(level)}${close}`].filter((line) => line !== '').join('\n');
}

/** A string of JSON in ASCII: what is none is written as \uXXXX. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
  );
}

/** Names come out of files, and from the other end: no character in one may end a line, or reach the terminal as a command. */
export function printable(line: string): string {
  return line.replace(/\p{Cc}/gu, (unit) => `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** `1.5 GiB (1610612736 bytes)`. */
export function sizeWithBytes(bytes: number): string {
  return `${formatSize(bytes)} (${bytes} bytes)`;
}

/** Hexadecimal as C's `%#x`: `0x10000`, but `0`. */
export function hex(value: number): string {
  return value === 0 ? '0' : `0x${value.toString(16)}`;
}

/** Cells in columns: a positive width aligns right, a negative one left; a longer cell pushes the rest along. */
export function row(...cells: readonly (readonly [text: string | number, width: number])[]): string {
  return cells
    .map(([text, width]) => (width < 0 ? String(text).padEnd(-width) : String(text).padStart(width)))
    .join(' ');
}

/**
 * Write a file as a whole or not at all: a file that is there stays as it is when that fails.
 * @throws BlockError that names it.
 */
export function writeText(path: string, text: string): void {
  try {
    const isPlain = fs.statSync(path, { throwIfNoEntry: false })?.isFile() ?? true;
    if (isPlain) replaceFile(fs.existsSync(path) ? fs.realpathSync(path) : path, text);
    else fs.writeFileSync(path, text);
  } catch (error) {
    const { message, code } = asBlockError(error);
    throw new BlockError(`cannot write '${path}': ${message}`, { code, cause: error });
  }
}

function replaceFile(path: string, text: string): void {
  const beside = `${path}.${process.pid}.new`;
  try {
    fs.writeFileSync(beside, text, { flag: 'wx' });
    fs.renameSync(beside, path);
  } catch (error) {
    fs.rmSync(beside, { force: true });
    throw error;
  }
}
