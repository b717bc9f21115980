/** Help from schemas: what `-o help`, the man pages and the control socket show of options. */
import { type FieldInfo, type FieldSchema, type Fields, fieldInfo } from './field.ts';
import { scalarText } from './keyval.ts';
import type { OptionSchema } from './schema.ts';
import { fieldsOf } from './structures.ts';

/** One option as it is written on a command line. */
export interface OptionHelp {
  /** With the names of the groups it is in: `encrypt.format`; `N` stands for the number of a list element. */
  readonly name: string;
  /** What kind of value: `size`, `num`, `bool (on/off)` or `str`. */
  readonly word: string;
  readonly help: string;
  /** As it would be typed. */
  readonly default?: string;
  readonly choices?: readonly string[];
  readonly required: boolean;
}

const WORDS: Readonly<Record<FieldInfo['kind'], string>> = {
  size: 'size',
  integer: 'num',
  number: 'num',
  bool: 'bool (on/off)',
  text: 'str',
  choice: 'str',
  node: 'str',
  any: 'str',
  list: 'str',
  group: 'str',
  variant: 'str',
  either: 'str',
};

/** All options of a schema, groups opened up, sorted by name. */
export function describe(schema: OptionSchema): OptionHelp[] {
  const found = new Map<string, OptionHelp>();
  for (const option of optionsOf(fieldsOf(schema), '')) if (!found.has(option.name)) found.set(option.name, option);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function* optionsOf(fields: Fields, prefix: string): Generator<OptionHelp> {
  for (const [name, schema] of Object.entries(fields)) yield* optionOf(schema, prefix + name);
}

function* optionOf(schema: FieldSchema<unknown>, name: string): Generator<OptionHelp> {
  const info = fieldInfo(schema);
  if (info === undefined || info.hidden) return;
  if (info.kind === 'group') yield* optionsOf(info.fields ?? {}, `${name}.`);
  else if (info.kind === 'list' && info.item) yield* listOf(info, info.item, name);
  else if (info.kind === 'either') for (const form of info.forms ?? []) yield* inherited(optionOf(form, name), info);
  else if (info.kind === 'variant') {
    yield { ...helpOf(info, `${name}.${info.key ?? 'type'}`), required: true };
    for (const branch of Object.values(info.branches ?? {})) yield* optionsOf(branch, `${name}.`);
  } else yield helpOf(info, name);
}

function* listOf(info: FieldInfo, item: FieldSchema<unknown>, name: string): Generator<OptionHelp> {
  yield* inherited(optionOf(item, `${name}.N`), info);
}

/** Members that say nothing of themselves take the help of what they belong to. */
function* inherited(options: Iterable<OptionHelp>, info: FieldInfo): Generator<OptionHelp> {
  for (const option of options) yield option.help === '' ? { ...option, help: info.help } : option;
}

function helpOf(info: FieldInfo, name: string): OptionHelp {
  return {
    name,
    word: WORDS[info.kind],
    help: info.help,
    required: info.required === true,
    ...(info.default === undefined || info.default === null ? {} : { default: scalarText(info.default) }),
    ...(info.choices === undefined ? {} : { choices: info.choices }),
  };
}

/** Column at which the help of an option begins, unless its name is longer. */
const NAME_WIDTH = 24;

/**
 * The text of `-o help`.
 * @param heading the line above them.
 */
export function formatOptionHelp(options: readonly OptionHelp[], heading = 'Supported options:'): string {
  const lines = options.map((option) => {
    const name = `  ${option.name}=<${option.word}>`;
    return option.help === '' ? name : `${name.padEnd(NAME_WIDTH)} - ${helpSentence(option)}`;
  });
  return [heading, ...lines, ''].join('\n');
}

/** The help with choices and default behind it: `Space to reserve (off, full; default off)`. */
export function helpSentence(option: OptionHelp): string {
  const notes: string[] = [];
  if (option.choices !== undefined) notes.push(option.choices.join(', '));
  if (option.default !== undefined) notes.push(`default ${option.default}`);
  return notes.length === 0 ? option.help : `${option.help} (${notes.join('; ')})`;
}
