/** Fields made of fields: groups, lists, variants by a key, and the record that holds all options of a thing. */
import * as v from 'valibot';
import type { FieldInfo, FieldOptions, FieldSchema, Fields, Present } from './field.ts';
import { converted, expects, infoFrom, isRecord, present } from './field.ts';
import { choice } from './scalars.ts';
import type { OptionSchema } from './schema.ts';

/** The validated values of a record of options. */
export type OptionsOf<S extends FieldSchema<unknown>> = v.InferOutput<S>;
export type EntriesOf<F extends Fields> = v.StrictObjectSchema<F, undefined>;

/** All options of a driver, a creation or a command. A name that is not among them is an error. */
export function defineOptions<const F extends Fields>(fields: F): EntriesOf<F> {
  return v.strictObject(fields);
}

/** The fields of a schema made by {@link defineOptions}. */
export function fieldsOf(schema: OptionSchema): Fields {
  return 'entries' in schema && isRecord(schema.entries) ? (schema.entries as Fields) : {};
}

/** One schema that takes the options of several; a name in more than one is taken from the first. */
export function joinOptions(...schemas: readonly OptionSchema[]): OptionSchema {
  return v.strictObject(Object.assign({}, ...schemas.map(fieldsOf).reverse()) as Fields);
}

function record(info: FieldInfo, fields: Fields): FieldSchema<Record<string, unknown>> {
  return v.pipe(
    v.custom<Record<string, unknown>>(isRecord, (issue) => expects('a group of options', issue.input).text),
    v.strictObject(fields),
    v.metadata({ field: info }),
  );
}

/** Options with a common prefix (`encrypt.format`). Give `default: {}` to have the members' defaults always. */
export function group<const F extends Fields, const P extends FieldOptions>(
  fields: F,
  options: P,
): Present<v.InferOutput<EntriesOf<F>>, P> {
  const schema = record(infoFrom('group', options, { fields }), fields);
  return present(schema as FieldSchema<v.InferOutput<EntriesOf<F>>>, options);
}

export interface ListOptions extends FieldOptions {
  /** A list of one group may be given as the group itself (`name.member`). */
  readonly orOne?: boolean;
}

/** A list of equal things: an array in JSON, `name.0`, `name.1` … on a command line. */
export function list<T, const P extends ListOptions>(item: FieldSchema<T>, options: P): Present<T[], P> {
  const schema = v.pipe(
    v.unknown(),
    v.transform((input) => (options.orOne && isRecord(input) ? [input] : input)),
    v.custom<unknown[]>(Array.isArray, (issue) => expects('a list', issue.input).text),
    v.array(item),
    v.metadata({ field: infoFrom('list', options, { item }) }),
  );
  return present(schema, options);
}

/** Union of the branches, told apart by the value of the key. */
export type VariantOutput<K extends string, B extends Readonly<Record<string, Fields>>> = {
  [N in keyof B & string]: { readonly [P in K]: N } & v.InferOutput<EntriesOf<B[N]>>;
}[keyof B & string];

/** A group whose members depend on one of them: `server.type=inet` has a host, `server.type=unix` a path. */
export function variant<
  const K extends string,
  const B extends Readonly<Record<string, Fields>>,
  const P extends FieldOptions & { readonly keyHelp?: string; readonly keyDefault?: keyof B & string },
>(key: K, branches: B, options: P): Present<VariantOutput<K, B>, P> {
  const names = Object.keys(branches);
  const keyField = choice(names, { help: options.keyHelp ?? 'Which kind', required: true });
  const info = infoFrom('variant', options, { key, branches, choices: names });
  const made = new Map(names.map((name) => [name, record(info, { [key]: keyField, ...branches[name] })]));
  const unknown = record(info, { [key]: keyField });
  const pick = v.lazy((input): FieldSchema<Record<string, unknown>> => {
    if (!isRecord(input) || typeof input[key] !== 'string') return unknown;
    // Without a known key only the complaint about the key itself is of use, not those about its companions.
    return made.get(input[key]) ?? (v.object({ [key]: keyField }) as FieldSchema<Record<string, unknown>>);
  });
  const keyed = v.pipe(
    v.unknown(),
    v.transform((input) => {
      const needsKey = options.keyDefault !== undefined && isRecord(input) && input[key] === undefined;
      return needsKey ? { ...input, [key]: options.keyDefault } : input;
    }),
    pick,
    v.metadata({ field: info }),
  );
  return present(keyed as unknown as FieldSchema<VariantOutput<K, B>>, options);
}

/** A word, or a group of options in its place (`overlap-check=all`, `overlap-check.template=all`). */
export function either<A, B, const P extends FieldOptions>(
  scalar: FieldSchema<A>,
  structured: FieldSchema<B>,
  options: P,
): Present<A | B, P> {
  const info = infoFrom('either', options, { forms: [scalar, structured] });
  const pick = v.lazy((input): FieldSchema<A | B> => (isRecord(input) || Array.isArray(input) ? structured : scalar));
  return present(v.pipe(pick, v.metadata({ field: info })), options);
}

/** Any JSON value, for what another part validates later. */
export function anything<const P extends FieldOptions>(options: P): Present<unknown, P> {
  return converted(infoFrom('any', options), options, (input) => input);
}
