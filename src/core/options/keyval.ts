/**
 * The `key=value,key=value` notation of the command line.
 *
 * A comma within a value is written twice. A bare word means `word=on`, `noword` means `word=off`; the first
 * one may instead be the value of an implied key. White space counts. Of a key given twice the last one wins.
 * The result is flat; `tree.ts` makes dotted keys into a tree.
 */
import { Usage } from '../errors/block-error.ts';
import { show } from './field.ts';

export interface KeyValueRules {
  /** A first item without `=` is the value of this key. */
  readonly impliedKey?: string;
  /** Bare words are an error instead of on/off. */
  readonly strict?: boolean;
}

/** Text in, flat options out. @throws Usage for an empty key. */
export function parseKeyValues(text: string, rules: KeyValueRules = {}): Record<string, string> {
  const found = new Map<string, string>();
  for (let at = 0; at < text.length; ) {
    const [key, value, next] = readItem(text, at, at === 0 ? rules : { strict: rules.strict ?? false });
    if (key === '' || key === '__proto__') throw new Usage(`option string ${show(text)} has an item without a name`);
    found.delete(key);
    found.set(key, value);
    at = next;
  }
  return Object.fromEntries(found);
}

type Item = readonly [key: string, value: string, next: number];

function readItem(text: string, at: number, rules: KeyValueRules): Item {
  let end = at;
  while (end < text.length && text[end] !== '=' && text[end] !== ',') end++;
  const key = text.slice(at, end);
  if (text[end] === '=') return [key, ...readValue(text, end + 1)];
  if (rules.impliedKey !== undefined) return [rules.impliedKey, ...readValue(text, at)];
  if (rules.strict) throw new Usage(`option string ${show(text)}: '${key}' needs a value`);
  return key.startsWith('no') ? [key.slice(2), 'off', end + 1] : [key, 'on', end + 1];
}

/** The value at `at` with doubled commas made single, and where the next item begins. */
function readValue(text: string, at: number): [value: string, next: number] {
  let value = '';
  for (let from = at; ; ) {
    const comma = text.indexOf(',', from);
    if (comma < 0) return [value + text.slice(from), text.length];
    if (text[comma + 1] !== ',') return [value + text.slice(from, comma), comma + 1];
    value += text.slice(from, comma + 1);
    from = comma + 2;
  }
}

/** The inverse of {@link parseKeyValues}: scalars as text, commas doubled. */
export function formatKeyValues(options: Readonly<Record<string, unknown>>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${escapeCommas(scalarText(value))}`)
    .join(',');
}

export function escapeCommas(text: string): string {
  return text.replaceAll(',', ',,');
}

/** How a scalar is written on a command line: booleans as on and off. */
export function scalarText(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return value === null ? '' : String(value);
}

/**
 * Several `-o` lists as one. Each must hold something, and neither begin with a comma nor end within an escape,
 * since it would otherwise run into its neighbour.
 */
export function joinOptionLists(lists: readonly string[]): string {
  for (const list of lists) {
    const commas = list.length - list.replace(/,+$/, '').length;
    if (list === '' || list.startsWith(',') || commas % 2 === 1) throw new Usage(`invalid option list: ${list}`);
  }
  return lists.join(',');
}

/** True when an item of the list is `help` or `?`. */
export function asksForHelp(list: string): boolean {
  for (let at = 0; at < list.length; ) {
    const [item, next] = readValue(list, at);
    if (item === 'help' || item === '?') return true;
    at = next;
  }
  return false;
}
