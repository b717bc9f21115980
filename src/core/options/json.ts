/**
 * JSON as it is written in `json:` names: the standard, and strings in single quotes, which shells make handy.
 * Other than `JSON.parse` it bounds the nesting and refuses a key that stands twice in one object.
 */
import { Usage } from '../errors/block-error.ts';
import { MAX_DEPTH } from './tree.ts';

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const WORDS: Readonly<Record<string, unknown>> = { true: true, false: false, null: null };

/**
 * The value of `text`; `what` begins the error. Whole numbers beyond 2^53-1 come out as the text they are, or with
 * `exact` as bigints.
 */
export function parseJson(text: string, what: string, { exact = false }: { readonly exact?: boolean } = {}): unknown {
  const reader = new Reader(text, what, exact);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  #at = 0;
  readonly #text: string;
  readonly #what: string;
  readonly #exact: boolean;

  constructor(text: string, what: string, exact: boolean) {
    this.#text = text;
    this.#what = what;
    this.#exact = exact;
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw this.#error(`more than ${MAX_DEPTH} levels of nesting`);
    this.#match(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"' || first === "'") return this.#string(first);
    const number = this.#match(NUMBER);
    if (number !== '') return this.#number(number);
    const word = this.#match(WORD);
    if (word === '') throw this.#error('no value');
    return WORDS[word];
  }

  end(): void {
    this.#match(SPACE);
    if (this.#at < this.#text.length) throw this.#error('something after the value');
  }

  #object(depth: number): Record<string, unknown> {
    const members = new Map<string, unknown>();
    this.#list('}', () => {
      this.#match(SPACE);
      const quote = this.#text[this.#at];
      if (quote !== '"' && quote !== "'") throw this.#error('no key in quotes');
      const key = this.#string(quote);
      if (members.has(key)) throw this.#error(`key '${key}' for the second time`);
      if (!this.#skip(':')) throw this.#error(`no colon after key '${key}'`);
      members.set(key, this.value(depth + 1));
    });
    return Object.fromEntries(members);
  }

  #array(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#list(']', () => items.push(this.value(depth + 1)));
    return items;
  }

  /** From the opening bracket to `close`, with `item` called for each member. */
  #list(close: string, item: () => void): void {
    this.#at++;
    if (this.#skip(close)) return;
    do item();
    while (this.#skip(','));
    if (!this.#skip(close)) throw this.#error(`neither ',' nor '${close}'`);
  }

  #string(quote: '"' | "'"): string {
    const start = this.#at + 1;
    let end = start;
    while (end < this.#text.length && this.#text[end] !== quote) end += this.#text[end] === '\\' ? 2 : 1;
    if (end >= this.#text.length) throw this.#error('a string without end');
    const inner = this.#text.slice(start, end);
    if (!inner.includes('\\') && !/\p{Cc}/u.test(inner)) {
      this.#at = end + 1;
      return inner;
    }
    try {
      // What is quoted differs between the two kinds of string; after that the standard knows all escapes.
      const standard = inner.replace(/\\[\s\S]|"/g, (part) => (part === "\\'" ? "'" : part === '"' ? '\\"' : part));
      const value: unknown = JSON.parse(`"${standard}"`);
      this.#at = end + 1;
      return String(value);
    } catch {
      throw this.#error('a string with a wrong escape or a control character');
    }
  }

  #skip(mark: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #number(text: string): number | string | bigint {
    const value = Number(text);
    if (!Number.isFinite(value)) throw this.#error('a number out of all range');
    if (Number.isSafeInteger(value) || /[.eE]/.test(text)) return value;
    return this.#exact ? BigInt(text) : text;
  }

  #error(found: string): Usage {
    const place = this.#at >= this.#text.length ? 'at its end' : `at character ${this.#at + 1}`;
    return new Usage(`${this.#what} is no valid JSON: ${found} ${place}`);
  }
}

/** JSON on one line, with a space after each colon and comma. */
export function formatJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatJson).join(', ')}]`;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}: ${formatJson(member)}`).join(', ')}}`;
}
