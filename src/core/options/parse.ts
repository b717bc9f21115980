/** Validation of option values, and the one sentence that says what is wrong with them. */
import * as v from 'valibot';
import { HUGE_SIZE, readSize } from '../bytes/sizes.ts';
import { Usage } from '../errors/block-error.ts';
import { suggestion } from './closest.ts';
import { expects, type FieldSchema, fieldInfo, isRecord, show } from './field.ts';
import type { OptionSchema } from './schema.ts';

const given = new WeakMap<object, ReadonlySet<string>>();

/**
 * The typed values of `input`, defaults applied.
 *
 * @param what whose options they are, for the error: `the qcow2 driver`.
 * @throws Usage that names the option, what it expects and what it got.
 */
export function validate<S extends FieldSchema<unknown>>(schema: S, input: unknown, what: string): v.InferOutput<S> {
  if (!isRecord(input)) throw new Usage(`options of ${what}: ${expects('a group of options', input).text}`);
  if (Object.hasOwn(input, '__proto__')) throw new Usage(`${what} has no option '__proto__'`);
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (!result.success) throw explain(schema, result.issues[0], what);
  if (isRecord(result.output)) given.set(result.output, new Set(namesIn(input)));
  return result.output;
}

/** Dotted names of the options that were written out, as opposed to taken from a default; of the result of {@link validate}. */
export function explicitNames(options: object): ReadonlySet<string> {
  return given.get(options) ?? new Set();
}

export function isExplicit(options: object, name: string): boolean {
  return explicitNames(options).has(name);
}

function* namesIn(input: Record<string, unknown>, prefix = ''): Generator<string> {
  for (const [key, value] of Object.entries(input)) {
    if (value === undefined) continue;
    yield prefix + key;
    if (isRecord(value)) yield* namesIn(value, `${prefix}${key}.`);
  }
}

function explain(schema: FieldSchema<unknown>, issue: v.BaseIssue<unknown>, what: string): Usage {
  const path = (issue.path ?? []).map((item) => String(item.key));
  const name = path.join('.');
  const data = { option: name };
  if (issue.type === 'strict_object' && issue.expected === 'never') {
    const followUp = suggestion(path.at(-1) ?? '', siblings(schema, path));
    return new Usage(`${what} has no option ${show(name)}`, { data, followUp });
  }
  if (issue.input === undefined) return new Usage(`${what} needs the option '${name}'`, { data });
  const problem = issue.kind === 'transformation' || issue.type === 'custom' ? issue.message : sentence(issue);
  const followUp = isNoSize(schema, path, issue.input) ? UNITS : undefined;
  return new Usage(`option '${name}' of ${what} ${problem}`, { data, followUp });
}

const UNITS = 'Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.';

/** A size is wanted, and this text is none. */
function isNoSize(schema: FieldSchema<unknown>, path: readonly string[], input: unknown): boolean {
  const field = fieldsAround(schema, path)[path.at(-1) ?? ''];
  return typeof input === 'string' && !!field && fieldInfo(field)?.kind === 'size' && !readSize(input, HUGE_SIZE).ok;
}

/** Issues of plain valibot schemas, in our words. */
function sentence(issue: v.BaseIssue<unknown>): string {
  const kind =
    issue.expected === 'Object' ? 'a group of options' : issue.expected === 'Array' ? 'a list' : issue.expected;
  return expects(kind ?? 'another value', issue.input).text;
}

/** Names that could have stood where the last element of `path` is. */
function siblings(schema: FieldSchema<unknown>, path: readonly string[]): string[] {
  return Object.keys(fieldsAround(schema, path));
}

function fieldsAround(schema: FieldSchema<unknown>, path: readonly string[]): Record<string, FieldSchema<unknown>> {
  let fields = entriesOf(schema);
  for (const key of path.slice(0, -1)) {
    const child = fields[key];
    const info = child === undefined ? undefined : fieldInfo(child);
    fields = { ...info?.fields, ...Object.assign({}, ...Object.values(info?.branches ?? {})) };
  }
  return fields;
}

function entriesOf(schema: FieldSchema<unknown>): Readonly<Record<string, FieldSchema<unknown>>> {
  return 'entries' in schema
    ? ((schema as OptionSchema & { entries: Record<string, FieldSchema<unknown>> }).entries ?? {})
    : {};
}
