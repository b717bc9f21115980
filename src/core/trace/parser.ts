/** What the parsers of the several formats have in common. */
import { BlockError } from '../errors/block-error.ts';
import type { TraceNode, TraceRequest } from './record.ts';

/** A parser is fed one line after the other and hands out requests, in any order of their numbers. */
export interface TraceParser {
  /** What to call the format. */
  readonly format: string;
  /** Images met so far. */
  readonly nodes: ReadonlyMap<string, TraceNode>;
  /** The requests have times of issue; without, only their order is known. */
  readonly timed: boolean;
  /** Why the trace may lack its end; undefined when it does not. Known at the end. */
  readonly incomplete: string | undefined;
  /** Take a line; throws BlockError with what is wrong with it. */
  line(text: string, take: (request: TraceRequest) => void): void;
  /** What is left at the end. */
  end(take: (request: TraceRequest) => void): void;
}

/** A whole number of a trace, `what` being its name; throws for everything that is none. */
export function wholeNumber(value: unknown, what: string, most = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new BlockError(`'${what}' is ${shown(value)}, not a whole number from 0 to ${most}`);
}

/** The same from digits. */
export function digits(text: string | undefined, what: string): number {
  if (text !== undefined && /^\d{1,16}$/.test(text)) return wholeNumber(Number(text), what);
  throw new BlockError(`'${what}' is ${shown(text)}, not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
}

const SHOWN = 60;

/** A value from a file in a message: on one line, and short. */
export function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value));
  const plain = text.replace(/\p{Cc}/gu, '?');
  return plain.length > SHOWN ? `${plain.slice(0, SHOWN)}…` : plain;
}
