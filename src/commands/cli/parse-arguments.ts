/**
 * The command line of one subcommand, read as getopt_long reads it: options and arguments in any order,
 * `-fraw`, grouped flags, `--long=value`, unique beginnings of long names, `--`. Node's own `parseArgs` knows no
 * beginnings and no missing values, and costs every program a millisecond when it starts.
 */
import { Usage } from '../../core/errors/block-error.ts';
import { closest } from '../../core/options/closest.ts';
import {
  Answer,
  type AnyCommand,
  type ArgumentSpec,
  type OptionSpec,
  type OptionSpecs,
  offeredChoices,
  type ParsedAny,
} from './record.ts';

/** `-h` and `--help` are options of every subcommand. */
export const HELP: OptionSpec = { short: 'h', long: 'help', help: 'Show this help' };
const HELP_KEY = 'help';

/** With `answer`: the text that was asked for in the place of what the command does. */
export type ParseResult =
  | { readonly help: true }
  | { readonly help: false; readonly answer: () => Promise<string> }
  | { readonly help: false; readonly answer?: undefined; readonly parsed: ParsedAny };

interface Given {
  readonly key: string;
  /** As typed: `-f`, `--format`. */
  readonly name: string;
  readonly value: string | undefined;
}

/**
 * @param words what followed the subcommand's name.
 * @throws Usage
 */
export function parseArguments(record: AnyCommand, words: readonly string[]): ParseResult {
  const specs: OptionSpecs = { [HELP_KEY]: HELP, ...record.options };
  const last = takenLast(record, words);
  const { given, operands, help } = scan(specs, last === undefined ? words : words.slice(0, -1));
  if (help) return { help: true };
  if (last !== undefined) operands.push(last);
  checkCompany(record.options, given);
  const options = readOptions(record, given);
  if (options instanceof Answer) return { help: false, answer: options.text };
  const parsed = {
    arguments: assignArguments(record, operands),
    options,
    given: given.map(({ key, value }) => ({ key, value })),
  };
  return { help: false, parsed };
}

function readOptions(record: AnyCommand, given: readonly Given[]): Record<string, unknown> | Answer {
  try {
    return assignOptions(record.options, given);
  } catch (error) {
    if (error instanceof Answer) return error;
    throw error;
  }
}

function takenLast(record: AnyCommand, words: readonly string[]): string | undefined {
  const word = words.at(-1);
  const wanted = Object.values(record.arguments).some((spec) => spec.last);
  return wanted && word !== undefined && /^-[\d.]/.test(word) ? word : undefined;
}

type Scan = { given: Given[]; operands: string[]; help: boolean };

/** Options and operands in order; stops at a request for help, so that an error behind it does not matter. */
function scan(specs: OptionSpecs, words: readonly string[]): Scan {
  const result: Scan = { given: [], operands: [], help: false };
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--') {
      result.operands.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      result.operands.push(word);
      continue;
    }
    for (const { raw, attached } of word.startsWith('--') ? longOption(word) : shortOptions(specs, word)) {
      const [key, spec] = findOption(specs, raw);
      if (key === HELP_KEY && spec === HELP) return { ...result, help: true };
      const value = attached ?? (takesNext(spec) ? words[++at] : undefined);
      result.given.push({ key, name: fullName(raw, spec), value: valueFor(raw, value, spec) });
    }
  }
  return result;
}

/** An option as typed, without and with what is attached to it as its value. */
type Typed = { readonly raw: string; readonly attached: string | undefined };

function longOption(word: string): readonly Typed[] {
  const equals = word.indexOf('=', 3);
  return equals < 0
    ? [{ raw: word, attached: undefined }]
    : [{ raw: word.slice(0, equals), attached: word.slice(equals + 1) }];
}

/** The letters of a group; the first that takes a value has what follows it, if anything does. */
function* shortOptions(specs: OptionSpecs, word: string): Generator<Typed> {
  for (let at = 1; at < word.length; at++) {
    const raw = `-${word[at]}`;
    const rest = word.slice(at + 1);
    if (rest !== '' && takesNext(findOption(specs, raw)[1])) return yield { raw, attached: rest };
    yield { raw, attached: undefined };
  }
}

/** Its value is the next word where none is attached. */
function takesNext(spec: OptionSpec): boolean {
  return spec.value !== undefined && spec.bare === undefined;
}

/** By its letter, its long name, or a beginning that only one has. @throws Usage */
function findOption(specs: OptionSpecs, raw: string): readonly [key: string, spec: OptionSpec] {
  // The help of all commands is the first: one that a command has itself is meant before it.
  const all = Object.entries(specs).reverse();
  const long = raw.startsWith('--') ? raw.slice(2) : undefined;
  const exact = all.find(([, spec]) => (long === undefined ? `-${spec.short}` === raw : spec.long === long));
  const begun = long ? all.filter(([, spec]) => spec.long?.startsWith(long)) : [];
  const found = exact ?? (begun.length === 1 ? begun[0] : undefined);
  if (found === undefined) throw unknownOption(raw, specs);
  return found;
}

function fullName(raw: string, spec: OptionSpec): string {
  return raw.startsWith('--') ? `--${spec.long ?? ''}` : raw;
}

function valueFor(raw: string, value: string | undefined, spec: OptionSpec): string | undefined {
  if (spec.value === undefined && value !== undefined)
    throw new Usage(`option '${fullName(raw, spec)}' takes no value`);
  if (spec.value === undefined) return undefined;
  if (value === undefined && spec.bare === undefined) {
    throw new Usage(`option '${fullName(raw, spec)}' needs a value ${spec.value}`);
  }
  return value ?? spec.bare;
}

function unknownOption(raw: string, specs: OptionSpecs): Usage {
  const isLong = raw.startsWith('--') && raw !== '--';
  const longs = Object.values(specs).flatMap((spec) =>
    spec.long === undefined || spec.hidden ? [] : `--${spec.long}`,
  );
  const possible = isLong ? longs.filter((long) => long.startsWith(raw)) : [];
  if (possible.length > 1) return new Usage(`option '${raw}' is ambiguous: it may be ${possible.join(', ')}`);
  const near = isLong ? closest(raw, longs, 1)[0] : undefined;
  return new Usage(`unknown option '${raw}'${near === undefined ? '' : ` (did you mean '${near}'?)`}`);
}

/** Refuse options that contradict one another, or that mean nothing without another. */
function checkCompany(specs: OptionSpecs, given: readonly Given[]): void {
  const named = new Map(given.map(({ key, name }) => [key, name]));
  for (const [key, name] of named) {
    if (specs[key]?.once && given.filter((item) => item.key === key).length > 1) {
      throw new SelfExplained(`option '${name}' can be given only once`);
    }
    for (const other of specs[key]?.conflicts ?? []) {
      const otherName = named.get(other);
      if (otherName !== undefined)
        throw new SelfExplained(`options '${name}' and '${otherName}' cannot be used together`);
    }
    for (const other of specs[key]?.needs ?? []) {
      if (!named.has(other)) throw new Usage(`option '${name}' needs ${optionName(specs[other])}`);
    }
  }
}

/** `-f`, or `--object` where there is no short name. */
export function optionName(spec: OptionSpec | undefined): string {
  return spec?.short === undefined ? `--${spec?.long ?? ''}` : `-${spec.short}`;
}

function assignOptions(specs: OptionSpecs, given: readonly Given[]): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, spec] of Object.entries(specs)) {
    const uses = given.filter((item) => item.key === key);
    values[key] = spec.value === undefined ? flagValue(spec, uses.length) : textValue(spec, uses);
  }
  return values;
}

function flagValue(spec: OptionSpec, count: number): boolean | number {
  return spec.repeat ? count : count > 0;
}

/** Wrong use where the message says what is expected, so that pointing to the help would tell nothing more. */
export class SelfExplained extends Usage {}

function textValue(spec: OptionSpec, uses: readonly Given[]): unknown {
  const read = ({ value = '', name }: { value?: string | undefined; name: string }): unknown => {
    if (spec.choices !== undefined && !spec.choices.includes(value)) {
      throw new SelfExplained(`option '${name}' expects ${offeredChoices(spec).join(' or ')}, not '${value}'`);
    }
    return spec.parse === undefined ? value : parsed(spec.parse, value, `option '${name}'`);
  };
  if (spec.repeat) return uses.map(read);
  const values = uses.map(read); // all are read, so that a mistake in one that is overridden is still reported
  if (values.length > 0) return values.at(-1);
  return spec.default === undefined ? undefined : read({ value: spec.default, name: optionName(spec) });
}

function parsed<T>(parse: (text: string, option: string) => T, value: string, option: string): T {
  try {
    return parse(value, option);
  } catch (error) {
    if (!(error instanceof Usage) || error.hasAdvice) throw error;
    throw new SelfExplained(error.message, { cause: error });
  }
}

/** Spread the operands over the arguments: one each, the rest to the one that repeats, optional ones last. */
function assignArguments(record: AnyCommand, operands: readonly string[]): Record<string, unknown> {
  const specs = Object.entries(record.arguments);
  const needed = specs.filter(([, spec]) => !spec.optional).length;
  let spare = operands.length - needed;
  if (spare < 0) throw missing(specs, operands.length);
  const values: Record<string, unknown> = {};
  let next = 0;
  for (const [key, spec] of specs) {
    const least = spec.optional ? 0 : 1;
    const extra = spec.repeat ? spare : Math.min(spare, 1 - least);
    const taken = operands.slice(next, next + least + extra);
    values[key] = spec.repeat ? taken : taken[0];
    next += taken.length;
    spare -= extra;
  }
  if (next < operands.length) {
    const taken = specs.map(([, spec]) => spec.name).join(' ') || 'no argument';
    const takes = record.name === '' ? 'this takes' : `'${record.name}' takes`;
    throw new SelfExplained(`unexpected argument '${operands[next]}': ${takes} ${taken}`);
  }
  return values;
}

function missing(specs: readonly (readonly [string, ArgumentSpec])[], count: number): Usage {
  const names = specs.filter(([, spec]) => !spec.optional).map(([, spec]) => spec.name);
  const left = names.slice(Math.min(count, names.length - 1));
  return new Usage(
    left.length === 1 ? `argument ${left[0]} is missing` : `arguments ${left.join(' and ')} are missing`,
  );
}
