/** Creation options (`-o`): reading them, the help on them, and the line that shows what an image is made with. */

import type { Driver } from '../../core/block/driver.ts';
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { HUGE_SIZE, readSize } from '../../core/bytes/sizes.ts';
import { amendOptions } from '../../core/job/amend-job.ts';
import { type CreationOptions, creationOptions } from '../../core/job/create-image.ts';
import { describe, formatOptionHelp, type OptionHelp } from '../../core/options/describe.ts';
import { asksForHelp, escapeCommas, joinOptionLists, parseKeyValues, scalarText } from '../../core/options/keyval.ts';
import { validate } from '../../core/options/parse.ts';
import { fieldsOf } from '../../core/options/structures.ts';
import { crumple, flatten } from '../../core/options/tree.ts';
import type { OptionSpec } from '../cli/record.ts';

export const CREATION_OPTION = {
  short: 'o',
  long: 'options',
  value: 'NAME=VALUE,…',
  repeat: true,
  offers: 'creation-options',
  help: "Options of the format; '-o help' lists them",
} as const satisfies OptionSpec;

export const OUTPUT_FORMAT_OPTION = {
  short: 'O',
  long: 'target-format',
  value: 'FMT',
  default: 'raw',
  offers: 'new-format',
  help: 'Format of the target',
} as const satisfies OptionSpec;

/** Creation options as typed, names with dots as groups. Undefined: help is asked for. */
export type Typed = Readonly<Record<string, unknown>>;

/** All `-o` of a command line as one. */
export function readCreationOptions(lists: readonly string[]): Typed | undefined {
  if (lists.length === 0) return {};
  const text = joinOptionLists(lists);
  return asksForHelp(text) ? undefined : crumple(parseKeyValues(text));
}

/** The text of `-o help`; with a file name the options of the protocol are among them. */
export async function creationHelp(graph: BlockGraph, driver: string, fileName: string | undefined): Promise<string> {
  const { schema, format, protocol } = await creationOptions(graph, driver, fileName);
  if (fileName !== undefined || !protocol) return formatOptionHelp(plain(describe(schema)));
  const { options, protocolOptions = [] } = format.create;
  const own = describe(options).filter(({ name }) => !protocolOptions.includes(name));
  return (
    formatOptionHelp(plain(own), `Supported ${driver} options:`) +
    '\nThe protocol level may support further options.\nSpecify the target filename to include those options.\n'
  );
}

/** The text of `amend -o help`. */
export function amendHelp(driver: Driver): string {
  return formatOptionHelp(plain(describe(amendOptions(driver))), `Amend options for '${driver.name}':`);
}

/** Without choices and defaults, as scripts know it. */
function plain(options: readonly OptionHelp[]): OptionHelp[] {
  return options.map(({ name, word, help, required }) => ({ name, word, help, required }));
}

/**
 * `Formatting 'NAME', fmt=FMT k=v …`: what is given and what the format takes by default, in its own order.
 * Options must be known and of the right kind for it; whether their values will do is seen when the image is made.
 */
export function formattingLine(fileName: string, found: CreationOptions, typed: Typed): string {
  const { driver, create } = found.format;
  const given = flatten(typed);
  const known = new Map(describe(found.schema).map((option) => [option.name, option]));
  const order = create.displayOrder ?? [];
  const rest = Object.keys(fieldsOf(found.schema)).filter((name) => !order.includes(name) && name in given);
  const isReadable = Object.entries(given).every(([name, value]) => readable(known.get(name), value) !== undefined);
  if (!isReadable) validate(found.schema, typed, `the ${driver.name} format`);
  const shown = [...order, ...rest].flatMap((name) => {
    const option = known.get(name);
    const text = readable(option, given[name] ?? option?.default);
    return text === undefined ? [] : [`${name}=${escapeCommas(text)}`];
  });
  return `Formatting '${fileName}', fmt=${driver.name} ${shown.join(' ')}\n`;
}

const SWITCH = /^(on|off|true|false|yes|no|y|n)$/;

/** A value as it is shown: numbers as they are understood, the rest as typed. Undefined for what is no such value. */
function readable(option: OptionHelp | undefined, value: unknown): string | undefined {
  if (option === undefined || value === undefined) return undefined;
  const text = scalarText(value);
  if (option.word === 'size' || option.word === 'num') {
    // What is too large for the format is said when the image is made.
    const number = readSize(text, HUGE_SIZE);
    return number.ok ? String(BigInt(number.value)) : undefined;
  }
  return option.word.startsWith('bool') && !SWITCH.test(text) ? undefined : text;
}
