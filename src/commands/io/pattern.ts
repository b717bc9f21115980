/** Filling buffers and checking what was read. */
import fs from 'node:fs';
import { asBlockError, BlockError, errnoText } from '../../core/errors/block-error.ts';
import { parsePattern } from './numbers.ts';
import type { Shell } from './shell.ts';
import { shortened } from './text.ts';

/** What is written when nothing else is asked for. */
export const DEFAULT_PATTERN = 0xcd;

/** The byte of `-P`; prints why and gives nothing when the word is none. */
export function patternWord(shell: Shell, word: string): number | undefined {
  const pattern = parsePattern(word);
  if (pattern === undefined) shell.fail(`${shortened(word)} is not a valid pattern byte`);
  return pattern;
}

/** Every byte is `pattern`: the first one is, and each is as the one before it. */
export function isAll(data: Buffer, pattern: number): boolean {
  if (data.length === 0) return true;
  return data[0] === pattern && data.subarray(1).equals(data.subarray(0, -1));
}

/** Print where a check failed, if it does. */
export function verify(shell: Shell, data: Buffer, offset: number, pattern: number): boolean {
  if (isAll(data, pattern)) return true;
  return shell.fail(`Pattern verification failed at offset ${offset}, ${data.length} bytes`);
}

/** The content of a file, over and over; prints why on standard error when there is none to be had. */
export function fillFromFile(shell: Shell, buffer: Buffer, file: string): boolean {
  let content: Buffer;
  try {
    content = readStart(file, buffer.length);
  } catch (error) {
    shell.printer.error(`${file}: ${asBlockError(error).message}`);
    return false;
  }
  if (content.length === 0) {
    shell.printer.error(`${file}: file is empty`);
    return false;
  }
  buffer.fill(content);
  return true;
}

function readStart(file: string, length: number): Buffer {
  const fd = fs.openSync(file, 'r');
  try {
    if (fs.fstatSync(fd).isDirectory()) throw new BlockError(errnoText('EISDIR'), { code: 'EISDIR' });
    const content = Buffer.allocUnsafe(Math.max(1, Math.min(length, fs.fstatSync(fd).size || length)));
    let done = 0;
    for (let more = -1; done < content.length && more !== 0; done += more) {
      more = fs.readSync(fd, content, done, content.length - done, null);
    }
    return content.subarray(0, done);
  } finally {
    fs.closeSync(fd);
  }
}
