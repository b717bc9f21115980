/**
 * What a command of the shell is: one record, from which its line is taken apart and checked, its usage and
 * help are printed, and names are completed.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { PermMask } from '../../core/block/permissions-bits.ts';
import type { FlagSpecs, Words } from './flags.ts';
import type { Shell } from './shell.ts';

export interface ShellCommand {
  readonly name: string;
  /** A shorter name. */
  readonly alias?: string;
  /** What goes behind the name, as the usage line shows it. */
  readonly usage?: string;
  /** One line, as the usage line shows it. */
  readonly summary: string;
  /** Paragraphs of the extended help; the flags follow by themselves. */
  readonly help?: readonly string[];
  /** Absent: words that begin with a dash are operands like others. */
  readonly flags?: FlagSpecs;
  /** Fewest and most words behind the name, flags included; without a second number, any. */
  readonly words: readonly [least: number, most?: number];
  /** Fewest and most words that are neither flags nor their values; by default as `words`. */
  readonly operands?: readonly [least: number, most?: number];
  /** What the command needs to be allowed on the image; what it already has stays. */
  readonly permission?: PermMask;
  /** The command works without an image. */
  readonly global?: true;
  /**
   * Run it. False when it failed, having printed why; or throws an error, which is printed under the name of
   * the program.
   */
  run(shell: Shell, words: Words): Maybe<boolean>;
}

/** `NAME ARGUMENTS -- SUMMARY`: the answer to wrong flags or operands, and a line of the list of commands. */
export function usageLine({ name, usage, summary }: ShellCommand): string {
  return `${name}${usage === undefined ? '' : ` ${usage}`} -- ${summary}\n`;
}
