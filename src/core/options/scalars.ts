/** Fields that hold one value: numbers, sizes, words, references to nodes. */
import { readSize, shortSize } from '../bytes/sizes.ts';
import type { FieldOptions, Present } from './field.ts';
import { converted, expects, infoFrom, isRecord, Refusal, show } from './field.ts';
import { isIdentifier } from './identifier.ts';
import type { Options } from './schema.ts';

export interface NumberFieldOptions extends FieldOptions {
  readonly default?: number | string;
  readonly min?: number;
  readonly max?: number;
  readonly powerOfTwo?: boolean;
  /** Values must be multiples of this. */
  readonly multipleOf?: number;
}

/** A size in bytes: a number, or a string such as `64k`. */
export function bytes<const P extends NumberFieldOptions>(options: P): Present<number, P> {
  return converted(infoFrom('size', options, limits(options)), options, (input) => toSize(input, options));
}

function toSize(input: unknown, options: NumberFieldOptions): number | Refusal {
  const kind = 'a size in bytes such as 65536, 64k or 1.5G';
  if (typeof input === 'number') {
    return Number.isSafeInteger(input) && input >= 0 ? inBounds(input, options, shortSize) : expects(kind, input);
  }
  if (typeof input !== 'string') return expects(kind, input);
  const size = readSize(input);
  if (size.ok) return inBounds(size.value, options, shortSize);
  if (size.reason === 'syntax') return expects(kind, input);
  return new Refusal(
    `must be ${options.min ?? 0} to ${options.max ?? Number.MAX_SAFE_INTEGER} bytes, not ${show(input)}`,
  );
}

const INTEGER = /^\s*[+-]?(?:0x[0-9a-f]+|\d+)$/i;

/** A whole number: native, or a string in decimal or `0x` hexadecimal. */
export function integer<const P extends NumberFieldOptions>(options: P): Present<number, P> {
  return converted(infoFrom('integer', options, limits(options)), options, (input) => {
    const value = typeof input === 'string' && INTEGER.test(input) ? toInteger(input) : input;
    if (typeof value !== 'number' || !Number.isInteger(value)) return expects('a whole number', input);
    if (!Number.isSafeInteger(value)) return new Refusal(`must be ${boundsText(options, String)}, not ${show(input)}`);
    return inBounds(value, options, String);
  });
}

/** A number, whole or not. */
export function number<const P extends FieldOptions & { readonly default?: number }>(options: P): Present<number, P> {
  return converted(infoFrom('number', options), options, (input) => {
    const value = typeof input === 'string' && input.trim() !== '' ? Number(input) : input;
    return typeof value === 'number' && Number.isFinite(value) ? value : expects('a number', input);
  });
}

function toInteger(text: string): number {
  const trimmed = text.trim();
  const negative = trimmed.startsWith('-');
  const magnitude = Number(trimmed.replace(/^[+-]/, ''));
  return negative ? -magnitude : magnitude;
}

function limits(options: NumberFieldOptions): { min?: number; max?: number } {
  return {
    ...(options.min === undefined ? {} : { min: options.min }),
    ...(options.max === undefined ? {} : { max: options.max }),
  };
}

function inBounds(value: number, options: NumberFieldOptions, print: (value: number) => string): number | Refusal {
  const { min, max, powerOfTwo, multipleOf } = options;
  const fits =
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (!powerOfTwo || (value > 0 && Number.isInteger(Math.log2(value)))) &&
    (multipleOf === undefined || value % multipleOf === 0);
  return fits ? value : new Refusal(`must be ${boundsText(options, print)}, not ${value}`);
}

function boundsText(options: NumberFieldOptions, print: (value: number) => string): string {
  const { min, max, powerOfTwo, multipleOf } = options;
  const words: string[] = [];
  if (powerOfTwo) words.push('a power of two');
  if (multipleOf !== undefined) words.push(`a multiple of ${multipleOf}`);
  if (min !== undefined && max !== undefined) words.push(`between ${print(min)} and ${print(max)}`);
  else if (min !== undefined) words.push(`at least ${print(min)}`);
  else if (max !== undefined) words.push(`at most ${print(max)}`);
  return words.length > 0 ? words.join(' ') : `between ${Number.MIN_SAFE_INTEGER} and ${Number.MAX_SAFE_INTEGER}`;
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  on: true,
  yes: true,
  true: true,
  y: true,
  off: false,
  no: false,
  false: false,
  n: false,
};

/** `on`/`off` and their relatives, or a native boolean. */
export function bool<const P extends FieldOptions & { readonly default?: boolean }>(options: P): Present<boolean, P> {
  return converted(infoFrom('bool', options), options, (input) => {
    if (typeof input === 'boolean') return input;
    const value = typeof input === 'string' && Object.hasOwn(BOOLEANS, input) ? BOOLEANS[input] : undefined;
    return value ?? expects("'on' or 'off'", input);
  });
}

/** A scalar of JSON as the string that a command line would hold. */
function toText(input: unknown): string | undefined {
  if (typeof input === 'string') return input;
  if (typeof input === 'number') return String(input);
  if (typeof input === 'boolean') return input ? 'on' : 'off';
  return undefined;
}

export interface TextFieldOptions extends FieldOptions {
  readonly default?: string;
  /** Longest accepted text, in UTF-8 bytes. */
  readonly maxBytes?: number;
  readonly nonEmpty?: boolean;
  /** It is a number mostly, and the control socket takes it as one too. */
  readonly orNumber?: boolean;
  /** What it must be, in words, and whether it is. */
  readonly must?: { readonly be: string; readonly test: (value: string) => boolean };
}

/** Any text. */
export function text<const P extends TextFieldOptions>(options: P): Present<string, P> {
  const info = infoFrom('text', options, options.orNumber ? { orNumber: true } : {});
  return converted(info, options, (input) => {
    const value = toText(input);
    if (value === undefined) return expects('a text', input);
    if (options.nonEmpty && value === '') return new Refusal('must not be empty');
    if (options.maxBytes !== undefined && Buffer.byteLength(value) > options.maxBytes) {
      return new Refusal(`is longer than ${options.maxBytes} bytes (${Buffer.byteLength(value)})`);
    }
    return options.must && !options.must.test(value) ? expects(options.must.be, value) : value;
  });
}

/** Any text, or null, which stands for something else than an empty one. */
export function textOrNull<const P extends FieldOptions>(options: P): Present<string | null, P> {
  return converted<string | null, P>(infoFrom('text', options, { orNull: true }), options, (input) =>
    input === null ? null : (toText(input) ?? expects('a text or null', input)),
  );
}

/** The id of a `secret` object that holds a key or password. */
export function secretId<const P extends FieldOptions>(options: P): Present<string, P> {
  return converted(infoFrom('text', options), options, (input) =>
    typeof input === 'string' && isIdentifier(input) ? input : expects('the id of a secret object', input),
  );
}

export interface ChoiceFieldOptions<W extends string> extends FieldOptions {
  readonly default?: W;
  /** Words that are never granted: not offered, but let through, for whoever gets them to say why not. */
  readonly neverGranted?: readonly W[];
}

/** One of a fixed list of words. */
export function choice<const C extends readonly string[], const P extends ChoiceFieldOptions<C[number]>>(
  choices: C,
  options: P,
): Present<C[number], P> {
  const offered = choices.filter((name) => !options.neverGranted?.includes(name));
  const { neverGranted = [] } = options;
  return converted(infoFrom('choice', options, { choices: offered, neverGranted }), options, (input) => {
    const word = toText(input);
    const found = choices.find((name): name is C[number] => name === word);
    return found ?? expects(choiceText(offered), input);
  });
}

function choiceText(choices: readonly string[]): string {
  const quoted = choices.map((name) => `'${name}'`);
  const last = quoted.pop() ?? '';
  return quoted.length === 0 ? last : `${quoted.join(', ')} or ${last}`;
}

/** A child node: the name of an existing node, the options to open one, or null for none (also an empty text). */
export type NodeRef = string | Options | null;

export function nodeRef<const P extends FieldOptions & { readonly default?: null }>(options: P): Present<NodeRef, P> {
  return converted<NodeRef, P>(infoFrom('node', options), options, (input) => {
    if (input === null || input === '') return null;
    if (typeof input === 'string' || isRecord(input)) return input;
    return expects('a node name, a group of options or null', input);
  });
}
