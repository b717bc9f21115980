/**
 * What a subcommand is: one record, from which the parser, `--help`, the man page and completion are made.
 *
 * ```ts
 * import { command } from '../cli/record.ts';
 * import { sizeValue } from '../cli/values.ts';
 *
 * export const map = command({
 *   name: 'map',
 *   group: 'Look at images',
 *   summary: 'Show where the data of an image lies',
 *   arguments: { file: { name: 'FILE', help: 'The image' } },
 *   options: {
 *     format: { short: 'f', value: 'FMT', help: 'Format of the image, instead of guessing', conflicts: ['imageOpts'] },
 *     imageOpts: { long: 'image-opts', help: 'FILE is a list of options, not a name' },
 *     output: { long: 'output', value: 'human|json', choices: ['human', 'json'], default: 'human', help: 'How to print' },
 *     start: { short: 's', long: 'start-offset', value: 'SIZE', parse: sizeValue, help: 'Where to begin' },
 *     objects: { long: 'object', value: 'OBJECT', repeat: true, help: 'Define an object such as a secret' },
 *   },
 *   examples: [['img map --output=json disk.qcow2', 'The map for a program']],
 *   async run({ arguments: { file }, options }, io) {
 *     // file: string, options.format: string | undefined, options.imageOpts: boolean,
 *     // options.output: 'human' | 'json', options.start: number | undefined, options.objects: readonly string[]
 *     io.stdout.write(`${file}\n`);
 *     return 0; // exit status; or throw a BlockError: one line on stderr and status 1 (see `withStatus`)
 *   },
 * });
 * ```
 */
import type { Io } from './io.ts';

/**
 * What completion offers for a value: names of files or of formats, `NAME=VALUE,…` of one of these kinds, or words, of
 * which one that ends with `=` or `,` goes on.
 */
export type Offer =
  | 'file'
  | 'format'
  | 'new-format'
  | 'creation-options'
  | 'amend-options'
  | 'object'
  | readonly string[]
  | (() => Promise<readonly string[]>);

export interface OptionSpec {
  /** Without the dashes. At least one of `long` and `short` is given. */
  readonly long?: string;
  /** One character. */
  readonly short?: string;
  /** Name of the value in help, in capitals; absent for a plain flag. */
  readonly value?: string;
  /** The value may be left out (and is given only as `--long=value`); this is what is meant then. */
  readonly bare?: string;
  /** May be given several times: values are collected, a flag is counted. Otherwise the last one wins. */
  readonly repeat?: true;
  /** Given a second time it is refused. */
  readonly once?: true;
  readonly help: string;
  /** As it would be typed; parsed like a typed value. */
  readonly default?: string;
  readonly choices?: readonly string[];
  /** Those of `choices` that are not offered, but let through, for whoever gets them to say why not. */
  readonly neverGranted?: readonly string[];
  /** Where neither `choices` nor the name of the value tells (see `completion/offers.ts`). */
  readonly offers?: Offer;
  /** The typed value from the text; throws Usage. `option` is the option as it was typed. */
  readonly parse?: (text: string, option: string) => unknown;
  /** Keys of options that cannot stand beside this one, and of those that must. */
  readonly conflicts?: readonly string[];
  readonly needs?: readonly string[];
  /** Accepted but not shown. */
  readonly hidden?: true;
}

/** Words that are taken and do something. */
export function offeredChoices({ choices = [], neverGranted = [] }: OptionSpec): readonly string[] {
  return choices.filter((word) => !neverGranted.includes(word));
}

export interface ArgumentSpec {
  /** In capitals, two letters or more, for help and errors. */
  readonly name: string;
  readonly help: string;
  readonly optional?: true;
  /** One or more (none or more with `optional`); at most one argument of a command repeats. */
  readonly repeat?: true;
  /** The very last word of the command line is this argument even if it begins with a dash (`resize … -1G`). */
  readonly last?: true;
  /** Where the name does not tell. */
  readonly offers?: Offer;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;
export type ArgumentSpecs = Readonly<Record<string, ArgumentSpec>>;

type Single<S> = S extends { readonly parse: (...args: never[]) => infer T }
  ? T
  : S extends { readonly choices: readonly (infer C)[] }
    ? C
    : string;
type OptionValue<S> = S extends { readonly value: string }
  ? S extends { readonly repeat: true }
    ? readonly Single<S>[]
    : S extends { readonly default: string }
      ? Single<S>
      : Single<S> | undefined
  : S extends { readonly repeat: true }
    ? number
    : boolean;
type ArgumentValue<S> = S extends { readonly repeat: true }
  ? readonly string[]
  : S extends { readonly optional: true }
    ? string | undefined
    : string;

export interface Parsed<A, O> {
  readonly arguments: { readonly [K in keyof A]: ArgumentValue<A[K]> };
  readonly options: { readonly [K in keyof O]: OptionValue<O[K]> };
  /** Options as they stood on the command line, in order: for commands where the order means something. */
  readonly given: readonly { readonly key: keyof O & string; readonly value: string | undefined }[];
}

export interface Command<A = ArgumentSpecs, O = OptionSpecs> {
  readonly name: string;
  /** One line, capital first, no period. */
  readonly summary: string;
  /** Heading under which the overview lists it. */
  readonly group?: string;
  /** Paragraphs of the man page, and of `--help` after the summary. */
  readonly description?: readonly string[];
  readonly arguments: A;
  readonly options: O;
  /** Command line and what it does. */
  readonly examples?: readonly (readonly [string, string])[];
  /** Meaning of the exit statuses, where they are not just 0 and 1. */
  readonly statuses?: readonly (readonly [number, string])[];
  /** Exit status for a wrong command line; default 1. */
  readonly usageStatus?: number;
  /** Returns the exit status. */
  run(parsed: Parsed<A, O>, io: Io): Promise<number>;
}

/** A command of whatever arguments and options: as the dispatcher, help and man pages see it. */
export interface AnyCommand extends Omit<Command, 'run'> {
  /** Takes the {@link ParsedAny} of this very record. */
  run(parsed: never, io: Io): Promise<number>;
}

/** {@link Parsed} without its types. */
export interface ParsedAny {
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly given: readonly { readonly key: string; readonly value: string | undefined }[];
}

/** Give `run` of the record its types. */
export function command<const A extends ArgumentSpecs, const O extends OptionSpecs>(
  record: Command<A, O>,
): Command<A, O> {
  return record;
}

/** An error with an exit status of its own. */
export class Failure extends Error {
  readonly status: number;
  constructor(status: number, cause: unknown) {
    super('command failed', { cause });
    this.status = status;
  }
}

/** Not an error: an option asks for a text in the place of what the command does (`--object help`). */
export class Answer extends Error {
  readonly text: () => Promise<string>;
  constructor(text: () => Promise<string>) {
    super('a text is asked for');
    this.text = text;
  }
}

/** Run `action`; what it throws ends the command with `status` instead of 1. */
export async function withStatus<T>(status: number, action: () => Promise<T> | T): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(status, error);
  }
}
