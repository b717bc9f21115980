/**
 * The text of `blkparse`, in its default format: what a block device of the host was asked for.
 *
 *     8,0    3        1     0.000000000   697  D   W 223490 + 8 [kjournald]
 *
 * are device, processor, sequence, seconds, process, action, kind, first sector and sectors. A request begins where
 * it is issued to the driver (D) and ends where it is completed (C). A trace without any D is read by what was
 * queued (Q), whose completions cannot be told, since queued requests are split and merged.
 */
import { BlockError } from '../errors/block-error.ts';
import { digits, shown, type TraceParser } from './parser.ts';
import type { TraceNode, TraceOp, TraceRequest } from './record.ts';

const EVENT = /^\s*(\d+,\d+)\s+\d+\s+\d+\s+(\d+)\.(\d{9})\s+\d+\s+([A-Za-z]+)\s+([A-Z]+)\s*(.*)$/;
const RANGE = /^(\d+)(?:\s*\/\s*\d+)? \+ (\d+)/;
const SECTOR = 512;
const NS_PER_S = 1_000_000_000;
const FUA = 1;
/** Requests queued at the beginning that are kept until it is known whether there are any D. */
const UNDECIDED = 65536;
/** Requests whose completion is awaited; more are handed out without. */
const MOST_OPEN = 65536;

export function isBlkparse(firstLine: string): boolean {
  return EVENT.test(firstLine);
}

type Begun = TraceRequest & { readonly key: string };

export class BlkparseParser implements TraceParser {
  readonly format = 'blkparse';
  readonly nodes = new Map<string, TraceNode>();
  readonly timed = true;
  readonly incomplete = undefined;
  #action: 'D' | 'Q' | undefined;
  #queued: TraceRequest[] = [];
  readonly #open = new Map<string, Begun>();
  #number = 0;
  #summary = false;

  line(text: string, take: (request: TraceRequest) => void): void {
    const match = EVENT.exec(text);
    if (!match) {
      this.#otherLine(text);
      return;
    }
    const [, device = '', seconds, fraction, action = '', kind = '', rest = ''] = match;
    const time = digits(seconds, 'time') * NS_PER_S + Number(fraction);
    if (action === 'C') this.#completed(device, rest, time, take);
    if (action !== 'D' && action !== 'Q') return;
    if (action === 'D' && this.#action === undefined) this.#decide('D', take);
    if (this.#action !== undefined && action !== this.#action) return;
    const asked = readKind(kind, rest);
    if (!asked) return;
    if (!this.nodes.has(device)) this.nodes.set(device, { name: device, size: undefined, fileName: undefined });
    const { flush, ...request } = asked;
    if (flush) this.#begin({ op: 'flush', offset: 0, length: 0, flags: 0 }, { device, time }, take);
    if (request.op !== 'flush') this.#begin(request, { device, time }, take);
  }

  #begin(
    asked: Pick<TraceRequest, 'op' | 'offset' | 'length' | 'flags'>,
    { device, time }: { readonly device: string; readonly time: number },
    take: (request: TraceRequest) => void,
  ): void {
    const rest = { end: undefined, result: 0, depth: 0, node: device };
    const request: TraceRequest = { ...asked, ...rest, number: this.#number++, start: time };
    if (this.#action === undefined) {
      this.#queued.push(request);
      if (this.#queued.length > UNDECIDED) this.#decide('Q', take);
    } else if (this.#action === 'Q' || asked.op === 'flush') take(request);
    else this.#await({ ...request, key: `${device} ${asked.offset}` }, take);
  }

  #await(begun: Begun, take: (request: TraceRequest) => void): void {
    const before = this.#open.get(begun.key);
    if (before) take(before);
    this.#open.set(begun.key, begun);
    if (this.#open.size <= MOST_OPEN) return;
    for (const [key, oldest] of this.#open) {
      take(oldest);
      this.#open.delete(key);
      return;
    }
  }

  #completed(device: string, rest: string, time: number, take: (request: TraceRequest) => void): void {
    const range = RANGE.exec(rest);
    const key = `${device} ${Number(range?.[1]) * SECTOR}`;
    const begun = this.#open.get(key);
    if (!begun) return;
    this.#open.delete(key);
    take({ ...begun, end: Math.max(begun.start, time) });
  }

  #decide(action: 'D' | 'Q', take: (request: TraceRequest) => void): void {
    this.#action = action;
    if (action === 'Q') for (const request of this.#queued) take(request);
    else this.#number = 0;
    this.#queued = [];
  }

  /** Behind the events there may be a summary, and messages among them. */
  #otherLine(text: string): void {
    if (text.trim() === '') return;
    if (/^(CPU\d+|Total|Throughput|Events) ?\(/.test(text)) this.#summary = true;
    const isMessage = /^\s*\d+,\d+\s+\d+\s+\d+\s+\d+\.\d+\s+\d+\s+m\s/.test(text);
    if (!this.#summary && !isMessage) throw new BlockError(`it is no event of blkparse: ${shown(text)}`);
  }

  end(take: (request: TraceRequest) => void): void {
    if (this.#action === undefined) this.#decide('Q', take);
    for (const begun of this.#open.values()) take(begun);
    this.#open.clear();
  }
}

interface Asked extends Pick<TraceRequest, 'op' | 'offset' | 'length' | 'flags'> {
  /** A flush comes before it. */
  readonly flush: boolean;
}

/** `WFS`: letters of what is asked for; an F in front of it is a flush before, one behind it forced access. */
function readKind(kind: string, rest: string): Asked | undefined {
  const flush = kind.startsWith('F');
  const op = kindOf(flush ? kind.slice(1) : kind);
  const range = RANGE.exec(rest);
  if (op === undefined || !range) return flush ? { op: 'flush', offset: 0, length: 0, flags: 0, flush } : undefined;
  const offset = digits(range[1], 'sector') * SECTOR;
  const length = digits(range[2], 'sectors') * SECTOR;
  if (!Number.isSafeInteger(offset + length)) throw new BlockError(`the sector ${shown(range[1])} is beyond all disks`);
  if (length === 0) return flush ? { op: 'flush', offset: 0, length: 0, flags: 0, flush } : undefined;
  const forced = op === 'write' && kind.indexOf('F', 1) > 0;
  return { op, offset, length, flags: forced ? FUA : 0, flush };
}

function kindOf(letters: string): TraceOp | undefined {
  if (letters.startsWith('R')) return 'read';
  if (letters.startsWith('W')) return 'write';
  return letters.startsWith('D') ? 'discard' : undefined;
}
