/**
 * The command line of one subcommand, read as getopt_long reads it: options and arguments in any order,
 * `-fraw`, grouped flags, `--long=value`, unique beginnings of long names, `--`. The scanning is Node's own
 * `parseArgs`; what it does not know (beginnings, values that are missing, what is unknown) is added here.
 */
import { parseArgs } from 'node:util';
import { Usage } from '../../core/errors/block-error.ts';
import { closest } from '../../core/options/closest.ts';
import {
  Answer,
  type AnyCommand,
  type ArgumentSpec,
  type OptionSpec,
  type OptionSpecs,
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
type ScanOptions = Record<string, { type: 'string' | 'boolean'; short?: string }>;

/** Options and operands in order; stops at a request for help, so that an error behind it does not matter. */
function scan(specs: OptionSpecs, words: readonly string[]): Scan {
  const { options, keys } = scanOptions(specs);
  const { tokens } = parseArgs({ args: [...words], options, strict: false, allowPositionals: true, tokens: true });
  const result: Scan = { given: [], operands: [], help: false };
  for (const token of tokens) {
    if (token.kind === 'positional') result.operands.push(token.value);
    if (token.kind !== 'option') continue;
    const key = keys.get(token.rawName.startsWith('--') ? `--${token.name}` : token.rawName);
    const spec = key === undefined ? undefined : specs[key];
    if (key === undefined || spec === undefined) throw unknownOption(token.rawName, specs);
    if (key === HELP_KEY && spec === HELP) return { ...result, help: true };
    result.given.push({ key, name: fullName(token.rawName, spec), value: valueFor(token.rawName, token.value, spec) });
  }
  return result;
}

/** Node's description of the options, with every unique beginning of a long name as a name of its own. */
function scanOptions(specs: OptionSpecs): { options: ScanOptions; keys: Map<string, string> } {
  const options: ScanOptions = {};
  const keys = new Map<string, string>();
  const longs = Object.values(specs).flatMap((spec) => spec.long ?? []);
  for (const [key, spec] of Object.entries(specs)) {
    const type = spec.value !== undefined && spec.bare === undefined ? 'string' : 'boolean';
    if (spec.short !== undefined) {
      options[`-${spec.short}`] = { type, short: spec.short };
      keys.set(`-${spec.short}`, key);
    }
    for (let length = spec.long?.length ?? 0; length > 0; length--) {
      const name = spec.long?.slice(0, length) ?? '';
      if (name !== spec.long && (longs.includes(name) || longs.filter((long) => long.startsWith(name)).length > 1))
        continue;
      options[name] = { type };
      keys.set(`--${name}`, key);
    }
  }
  return { options, keys };
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
  const longs = Object.values(specs).flatMap((spec) =>
    spec.long === undefined || spec.hidden ? [] : `--${spec.long}`,
  );
  const possible = raw.startsWith('--') ? longs.filter((long) => long.startsWith(raw)) : [];
  if (possible.length > 1) return new Usage(`option '${raw}' is ambiguous: it may be ${possible.join(', ')}`);
  const near = raw.startsWith('--') ? closest(raw, longs, 1)[0] : undefined;
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
      throw new SelfExplained(`option '${name}' expects ${spec.choices.join(' or ')}, not '${value}'`);
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
