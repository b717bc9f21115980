/** What there is to complete on the command lines of a program, worked out from its records for all shells alike. */
import { GLOBAL_OPTIONS } from '../global-options.ts';
import { commandsOf, type Program } from '../main.ts';
import { HELP } from '../parse-arguments.ts';
import type { AnyCommand, OptionSpec, OptionSpecs } from '../record.ts';
import { type KeyTable, keyTables, type Offered, offeredFor, offeredForArgument, type TableName } from './offers.ts';

export interface OptionModel {
  /** Without dashes. */
  readonly short: string | undefined;
  readonly long: string | undefined;
  /** Name of the value; undefined for a flag. */
  readonly value: string | undefined;
  /** The value may be left out, and is given only as `--long=value`. */
  readonly isBare: boolean;
  readonly repeat: boolean;
  readonly help: string;
  readonly offered: Offered;
  /** With dashes: options that cannot be given beside this one. */
  readonly excludes: readonly string[];
}

export interface ArgumentModel {
  readonly name: string;
  readonly optional: boolean;
  readonly repeat: boolean;
  readonly offered: Offered;
}

export interface CommandModel {
  /** Empty for what stands before, or in the place of, a subcommand. */
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionModel[];
  readonly arguments: readonly ArgumentModel[];
  /** What decides whose keys `-o` takes: options, with dashes, and what holds without them. */
  readonly decider: { readonly names: readonly string[]; readonly fallback: string } | undefined;
}

export interface Model {
  readonly program: string;
  /** The first word may be a file too, and options before a subcommand are those of the program itself. */
  readonly isAlone: boolean;
  readonly own: CommandModel;
  readonly commands: readonly CommandModel[];
  readonly tables: Readonly<Record<TableName, KeyTable>>;
}

export async function completionModel(program: Program): Promise<Model> {
  const records = await Promise.all(Object.values(commandsOf(program)).map((load) => load()));
  const own: Pick<AnyCommand, 'name' | 'summary' | 'options' | 'arguments'> = program.alone
    ? { ...program.alone.forms[0], name: '', options: joined(program.alone.forms) }
    : { name: '', summary: program.summary, options: GLOBAL_OPTIONS, arguments: {} };
  return {
    program: program.name,
    isAlone: program.alone !== undefined,
    own: await commandModel(own),
    commands: await Promise.all(records.map(commandModel)),
    tables: await keyTables(),
  };
}

/** The options of several forms of a command line; the first form has the say about one that several have. */
function joined(forms: readonly AnyCommand[]): OptionSpecs {
  const options: Record<string, OptionSpec> = {};
  const taken = new Set<string>();
  for (const [key, spec] of forms.flatMap((form) => Object.entries(form.options))) {
    const names = namesOf(spec);
    if (names.some((name) => taken.has(name))) continue;
    for (const name of names) taken.add(name);
    options[key] = spec;
  }
  return options;
}

async function commandModel(
  record: Pick<AnyCommand, 'name' | 'summary' | 'options' | 'arguments'>,
): Promise<CommandModel> {
  const specs: OptionSpecs = { ...record.options, help: HELP };
  const shown = Object.values(specs).filter((spec) => !spec.hidden);
  return {
    name: record.name,
    summary: record.summary,
    options: await Promise.all(shown.map((spec) => optionModel(spec, specs))),
    arguments: await Promise.all(
      Object.values(record.arguments).map(async (spec) => ({
        name: spec.name,
        optional: spec.optional === true,
        repeat: spec.repeat === true,
        offered: await offeredForArgument(spec),
      })),
    ),
    decider: deciderOf(shown),
  };
}

async function optionModel(spec: OptionSpec, specs: OptionSpecs): Promise<OptionModel> {
  const conflicts = (spec.conflicts ?? []).flatMap((key) => specs[key] ?? []).filter((other) => !other.hidden);
  return {
    short: spec.short,
    long: spec.long,
    value: spec.value,
    isBare: spec.bare !== undefined,
    repeat: spec.repeat === true,
    help: brief(spec.help),
    offered: spec.value === undefined ? { kind: 'nothing' } : await offeredFor(spec),
    excludes: [...(spec.repeat ? [] : namesOf(spec)), ...conflicts.flatMap(namesOf)],
  };
}

function deciderOf(specs: readonly OptionSpec[]): CommandModel['decider'] {
  const offers = specs.map((spec) => spec.offers);
  const decider = offers.includes('amend-options')
    ? specs.find((spec) => spec.value === 'FMT')
    : specs.find((spec) => spec.offers === 'new-format');
  return decider && { names: namesOf(decider), fallback: decider.default ?? 'qcow2' };
}

/** As they are typed. */
function namesOf(spec: Pick<OptionSpec, 'short' | 'long'>): string[] {
  return [
    ...(spec.short === undefined ? [] : [`-${spec.short}`]),
    ...(spec.long === undefined ? [] : [`--${spec.long}`]),
  ];
}

/** Longest help that stands beside a word in full, in characters. */
const BRIEF = 60;

/** A long help up to where it goes into details. */
function brief(help: string): string {
  if (help.length <= BRIEF) return help;
  const end = help.search(/; |: |\. | \(/);
  return end > 0 ? help.slice(0, end) : help;
}
