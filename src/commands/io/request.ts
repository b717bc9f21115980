/** One request that the user waits for, or that goes on by itself, and the lines about it. */
import { clock } from '../../core/async/clock.ts';
import type { Maybe } from '../../core/async/maybe.ts';
import { BlockError } from '../../core/errors/block-error.ts';
import { secondsSince } from './clock.ts';
import type { Words } from './flags.ts';
import type { Ending } from './in-flight.ts';
import { MAX_REQUEST, type NumberFault, parseNumber } from './numbers.ts';
import type { Shell } from './shell.ts';
import { shortened, transferFields, transferText } from './text.ts';

/** Issue `request` and print what became of it. */
export function perform(shell: Shell, request: () => Maybe<void>, print: (ending: Ending) => boolean): Maybe<boolean> {
  const begin = clock();
  let done: Maybe<void>;
  try {
    done = request();
  } catch (error) {
    return shell.inTurn(() => print({ seconds: secondsSince(begin), error }));
  }
  if (done instanceof Promise) return whenDone(shell, done, begin, print);
  const ending = { seconds: secondsSince(begin), error: undefined };
  return shell.inFlight.active ? shell.inTurn(() => print(ending)) : print(ending);
}

async function whenDone(
  shell: Shell,
  done: Promise<void>,
  begin: number,
  print: (ending: Ending) => boolean,
): Promise<boolean> {
  let error: unknown;
  try {
    await done;
  } catch (reason) {
    error = reason;
  }
  const seconds = secondsSince(begin);
  return shell.inTurn(() => print({ seconds, error }));
}

export interface Done {
  readonly verb: string;
  readonly offset: number;
  readonly length: number;
  readonly seconds: number;
}

/** The lines about a request that went well, in the form that the flags ask for. */
export function printTransfer(shell: Shell, words: Words, { verb, offset, length, seconds }: Done): void {
  if (words.flags.has('q')) return;
  const transfer = { verb, offset, length, done: length, seconds };
  shell.print(words.flags.has('C') ? transferFields(transfer) : transferText(transfer));
}

/** A number of bytes; prints why and gives nothing when the word is none. */
export function bytesWord(shell: Shell, word: string | undefined): number | undefined {
  const value = parseNumber(word ?? '');
  if (typeof value === 'number') return value;
  shell.fail(numberFault(value, word ?? ''));
  return undefined;
}

function numberFault(fault: NumberFault, given: string): string {
  const word = shortened(given);
  return fault === 'range'
    ? `Parsing error: argument too large -- ${word}`
    : `Parsing error: non-numeric argument, or extraneous/unrecognized suffix -- ${word}`;
}

/** The length of one request. */
export function lengthWord(shell: Shell, word: string | undefined, unless = ''): number | undefined {
  const length = bytesWord(shell, word);
  if (length === undefined || length <= MAX_REQUEST) return length;
  shell.fail(`length cannot exceed ${MAX_REQUEST}${unless}, given ${word}`);
  return undefined;
}

/** The lengths of the buffers of one request. */
export function lengthWords(shell: Shell, words: readonly string[]): number[] | undefined {
  const lengths: number[] = [];
  let total = 0;
  for (const word of words) {
    const length = bytesWord(shell, word);
    if (length === undefined) return undefined;
    total += length;
    if (length > MAX_REQUEST) {
      shell.fail(`Argument '${word}' exceeds maximum size ${MAX_REQUEST}`);
      return undefined;
    }
    if (total > MAX_REQUEST) {
      shell.fail(`The total number of bytes exceed the maximum size ${MAX_REQUEST}`);
      return undefined;
    }
    lengths.push(length);
  }
  return lengths;
}

const SECTOR = 512;

/** Compressed data and machine state come in sectors. */
export function inSectors(shell: Shell, offset: number, length: number): boolean {
  if (offset % SECTOR !== 0) return shell.fail(`${offset} is not a sector-aligned value for 'offset'`);
  if (length % SECTOR !== 0) return shell.fail(`${length} is not a sector-aligned value for 'count'`);
  return true;
}

/** Throws for a request that no image of this length could serve: before any memory is taken for it. */
export function assertInside(shell: Shell, offset: number, length: number): void {
  const { size } = shell.backend;
  if (offset + length <= size) return;
  throw new BlockError(`request of ${length} bytes at ${offset} is outside the disk of ${size} bytes`, { code: 'EIO' });
}
