/** What a field knows about itself: the base that `fields.ts` and `structures.ts` build on. */
import * as v from 'valibot';

export type FieldKind =
  | 'size'
  | 'integer'
  | 'number'
  | 'bool'
  | 'text'
  | 'choice'
  | 'node'
  | 'list'
  | 'group'
  | 'variant'
  | 'either'
  | 'any';

export type FieldSchema<T> = v.GenericSchema<unknown, T>;
/** The fields of a record of options, by name. */
export type Fields = Readonly<Record<string, FieldSchema<unknown>>>;

/** Metadata of a field; `describe.ts` turns it into help, man pages and introspection. */
export interface FieldInfo {
  readonly kind: FieldKind;
  /** One sentence fragment, capital first, no final period. */
  readonly help: string;
  /** As its author wrote it (`'64k'` or 65536). */
  readonly default?: unknown;
  readonly required?: boolean;
  /** Accepted, but not shown in help (an old spelling). */
  readonly hidden?: boolean;
  readonly choices?: readonly string[];
  /** Words that are let through only for whoever gets them to say why they are not granted. */
  readonly neverGranted?: readonly string[];
  /** A text that is a number mostly, and may be written as one. */
  readonly orNumber?: boolean;
  /** Null is a value of its own. */
  readonly orNull?: boolean;
  /** Smallest and largest number or size in bytes. */
  readonly min?: number;
  readonly max?: number;
  /** Members of a group. */
  readonly fields?: Fields;
  /** Element of a list. */
  readonly item?: FieldSchema<unknown>;
  /** Members of each variant, by the value of `key`. */
  readonly key?: string;
  readonly branches?: Readonly<Record<string, Fields>>;
  /** The scalar and the structured form of an `either` field. */
  readonly forms?: readonly FieldSchema<unknown>[];
}

/** What every field constructor takes. Without `default` and `required` the option may be absent. */
export interface FieldOptions {
  readonly help: string;
  readonly default?: unknown;
  readonly required?: true;
  readonly hidden?: boolean;
}

/** The schema of a field of type T as its options P make it: required, with a default, or optional. */
export type Present<T, P> = P extends { readonly required: true }
  ? FieldSchema<T>
  : P extends { readonly default: NonNullable<unknown> | null }
    ? v.OptionalSchema<FieldSchema<T>, P['default']>
    : v.OptionalSchema<FieldSchema<T>, undefined>;

/** Why a value does not fit, as the rest of a sentence that begins with the option: `expects a size, not 'x'`. */
export class Refusal {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export function expects(what: string, input: unknown): Refusal {
  return new Refusal(`expects ${what}, not ${show(input)}`);
}

const SHOWN = 80;

/** A received value on one line of bounded length. */
export function show(input: unknown): string {
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object' && input !== null) return 'a group of options';
  if (typeof input !== 'string') return String(input);
  const text = input.length > SHOWN ? `${input.slice(0, SHOWN)}…` : input;
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"')}'`;
}

/** Metadata for the schema from what the author of the field wrote. */
export function infoFrom(kind: FieldKind, options: FieldOptions, more: Partial<FieldInfo> = {}): FieldInfo {
  return {
    kind,
    help: options.help,
    ...('default' in options ? { default: options.default } : {}),
    ...(options.required ? { required: true } : {}),
    ...(options.hidden ? { hidden: true } : {}),
    ...more,
  };
}

/** A field whose value is made from any input by `convert`, which gives a {@link Refusal} for what it cannot take. */
export function converted<T, const P extends FieldOptions>(
  info: FieldInfo,
  options: P,
  convert: (input: unknown) => T | Refusal,
): Present<T, P> {
  const schema = v.pipe(
    v.unknown(),
    v.rawTransform(({ dataset, addIssue, NEVER }): T => {
      const value = convert(dataset.value);
      if (!(value instanceof Refusal)) return value;
      addIssue({ message: value.text });
      return NEVER;
    }),
    v.metadata({ field: info }),
  );
  return present(schema, options);
}

/** Wrap as the author's options say: required, with a default, or optional. */
export function present<T, P extends FieldOptions>(schema: FieldSchema<T>, options: P): Present<T, P> {
  const made = options.required ? schema : v.optional(schema, options.default);
  return made as unknown as Present<T, P>;
}

/** Metadata of a field schema, looking through the optional wrapper; undefined for a foreign schema. */
export function fieldInfo(schema: FieldSchema<unknown>): FieldInfo | undefined {
  let inner = schema;
  while ('wrapped' in inner && inner.wrapped instanceof Object) inner = inner.wrapped as FieldSchema<unknown>;
  const metadata: Record<string, unknown> = v.getMetadata(inner);
  return metadata.field as FieldInfo | undefined;
}

export function isRecord(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input);
}
