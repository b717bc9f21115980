/**
 * I/O logs of fio: read in versions 2 and 3, written in version 3.
 *
 *     fio version 3 iolog            fio version 2 iolog
 *     0 disk.img add                 disk.img add
 *     0 disk.img open                disk.img open
 *     120 disk.img read 0 4096       disk.img wait 120 0
 *     150 disk.img close             disk.img read 0 4096
 *
 * Offsets and lengths are bytes, times microseconds from the start; the waits of version 2 add up.
 */
import { BlockError, NotSupported } from '../errors/block-error.ts';
import { digits, shown, type TraceParser } from './parser.ts';
import type { TraceNode, TraceOp, TraceRequest } from './record.ts';

const FIRST_LINE = /^fio version (\d+) iolog\s*$/;
const NS_PER_US = 1000;
const FILE_ACTIONS = new Set(['add', 'open', 'close']);
const OPS: Readonly<Record<string, TraceOp>> = {
  read: 'read',
  write: 'write',
  trim: 'discard',
  sync: 'flush',
  datasync: 'flush',
  sync_file_range: 'flush',
};

export function isFioLog(firstLine: string): boolean {
  return FIRST_LINE.test(firstLine);
}

export class FioParser implements TraceParser {
  readonly format = 'fio iolog';
  readonly nodes = new Map<string, TraceNode>();
  readonly incomplete = undefined;
  #version = 0;
  #time = 0;
  #number = 0;
  #waited = false;

  /** A log of version 2 has times only where it has waits. */
  get timed(): boolean {
    return this.#version !== 2 || this.#waited;
  }

  line(text: string, take: (request: TraceRequest) => void): void {
    if (this.#version === 0) {
      this.#version = versionOf(text);
      return;
    }
    const words = text.trim().split(/\s+/);
    if (this.#version === 3) this.#time = digits(words.shift(), 'time') * NS_PER_US;
    const [node = '', action = '', offset, length] = words;
    if (FILE_ACTIONS.has(action)) {
      if (action === 'add') this.nodes.set(node, { name: node, size: undefined, fileName: node });
      return;
    }
    if (action === 'wait') {
      this.#time += digits(offset, 'wait') * NS_PER_US;
      this.#waited = true;
      return;
    }
    const op = Object.hasOwn(OPS, action) ? OPS[action] : undefined;
    if (op === undefined)
      throw new BlockError(`the action is ${shown(action)}, not one of ${Object.keys(OPS).join(', ')}`);
    if (!this.nodes.has(node)) throw new BlockError(`no line before has added the file ${shown(node)}`);
    const range =
      op === 'flush'
        ? { offset: 0, length: 0 }
        : { offset: digits(offset, 'offset'), length: digits(length, 'length') };
    take({
      ...range,
      number: this.#number++,
      start: this.#time,
      end: undefined,
      op,
      flags: 0,
      result: 0,
      depth: 0,
      node,
    });
  }

  end(): void {}
}

function versionOf(text: string): number {
  const version = Number(FIRST_LINE.exec(text)?.[1]);
  if (version === 2 || version === 3) return version;
  throw new NotSupported(`version ${version} of fio's iolog is not supported, only 2 and 3`);
}

/** The lines before the requests of a log about `file`. */
export function fioHead(file: string): string {
  if (/\s/.test(file) || file === '') {
    throw new BlockError(`fio's iolog cannot name the file '${file}': it has blanks, or no name at all`);
  }
  return `fio version 3 iolog\n0 ${file} add\n0 ${file} open\n`;
}

/** The line of a request; undefined for one that fio has no action for. Zeroes are written there like data. */
export function fioLine(request: TraceRequest, file: string): string | undefined {
  const action = FIO_ACTIONS[request.op];
  if (action === undefined) return undefined;
  const { offset, length, start } = request;
  return `${Math.floor(start / NS_PER_US)} ${file} ${action} ${offset} ${length}\n`;
}

const FIO_ACTIONS: Readonly<Record<TraceOp, string | undefined>> = {
  read: 'read',
  write: 'write',
  zero: 'write',
  discard: 'trim',
  flush: 'sync',
  truncate: undefined,
};

/** The lines behind the requests; `time` of the last one in nanoseconds. */
export function fioTail(file: string, time: number): string {
  return `${Math.floor(time / NS_PER_US)} ${file} close\n`;
}
