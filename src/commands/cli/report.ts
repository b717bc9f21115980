/** How an error reaches the user: one line on stderr under the program's name, advice below it, an exit status. */
import { asBlockError, BlockError, Cancelled, firstError } from '../../core/errors/block-error.ts';
import type { Io } from './io.ts';
import { printable } from './output.ts';
import { Failure } from './record.ts';

export const FAILED = 1;
/** A mistake of ours, as opposed to every status that a command defines. */
export const INTERNAL_ERROR = 70;

/** Print `error` unless it says no more than that the user cancelled; returns the exit status. */
export function report(thrown: unknown, io: Io): number {
  const first = firstError(thrown);
  const error = firstError(first instanceof Failure ? first.cause : first);
  const status = first instanceof Failure ? first.status : FAILED;
  if (isCancelled(error)) return status;
  const known = asUserError(error);
  if (io.env.BLOCKYARD_DEBUG === '1') io.stderr.write(`${stackOf(error)}\n`);
  if (known === undefined) {
    io.stderr.write(`${io.programName}: internal error: ${oneLine(String(error))}\n`);
    if (io.env.BLOCKYARD_DEBUG !== '1') io.stderr.write('Set BLOCKYARD_DEBUG=1 to see where it happened\n');
    return INTERNAL_ERROR;
  }
  io.stderr.write(`${io.programName}: ${withAdvice(known, io.programName)}\n`);
  return status;
}

/** A command in advice: who called the programs by their other names knows it by that. */
const COMMAND = /(?<![\w-])img (?=[a-z-])/g;

/** Message and hint on one line, and what follows below. */
function withAdvice({ message, hint, followUp }: BlockError, programName: string): string {
  const inPlace = (advice: string) => (programName.startsWith('qemu-') ? advice.replace(COMMAND, 'qemu-img ') : advice);
  const first = hint === undefined ? oneLine(message) : `${oneLine(message)} (${oneLine(inPlace(hint))})`;
  if (followUp === undefined) return first;
  return [first, ...inPlace(followUp).split('\n').map(printable)].join('\n');
}

function isCancelled(error: unknown): boolean {
  return error instanceof Cancelled || (error instanceof Error && error.name === 'AbortError');
}

/** What a user can act on: our own errors, and those of the operating system with the file they are about. */
function asUserError(error: unknown): BlockError | undefined {
  if (error instanceof BlockError) return error;
  if (error instanceof AggregateError && error.errors.length > 0) return asUserError(error.errors[0]);
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  const known = asBlockError(error);
  const path = 'path' in error && typeof error.path === 'string' ? `${error.path}: ` : '';
  return new BlockError(path + known.message, { code: known.code, cause: error });
}

function oneLine(text: string): string {
  return printable(text.replace(/\s*\n\s*/g, ' '));
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return (error.stack ?? String(error)) + cause;
}
