/** Reading many tables of a cluster each: neighbours in one request, several requests at once. */
import type { Maybe } from '../../../core/async/maybe.ts';
import { viewOf } from '../meta/struct.ts';
import type { CheckedFile } from './state.ts';

const REQUEST = 512 * 1024;
const REQUESTS_AT_ONCE = 8;

/** Tables that were read in one piece: the one at `offsets[i]` is found at `i * clusterSize`. */
export interface TableRun {
  /** Index of the first among all that are read. */
  readonly first: number;
  readonly offsets: Float64Array;
  readonly bytes: Buffer;
  /** Of the same bytes. */
  readonly view: DataView;
}

/**
 * Call `visit` with the tables at `offsets`, in that order; what lies past the end of the file reads as zeroes.
 * A run is good until `visit` is done with it: its memory is used again. What is in memory costs no waiting.
 */
export async function readTables(
  file: CheckedFile,
  offsets: Float64Array,
  clusterSize: number,
  visit: (run: TableRun) => Maybe<void>,
): Promise<void> {
  const largest = Math.min(REQUEST, offsets.length * clusterSize);
  const waiting: Maybe<TableRun>[] = [];
  const free: ArrayBuffer[] = [];
  const finishFirst = async (): Promise<void> => {
    const run = await waiting.shift();
    if (!run) return;
    await visit(run);
    free.push(run.view.buffer as ArrayBuffer);
  };
  for (let first = 0; first < offsets.length; ) {
    const run = offsets.subarray(first, neighboursEnd(offsets, first, clusterSize));
    const memory = free.pop() ?? new ArrayBuffer(Math.max(largest, clusterSize));
    const started = start(file, first, run, Buffer.from(memory, 0, run.length * clusterSize));
    first += run.length;
    if (!(started instanceof Promise) && waiting.length === 0) {
      const visited = visit(started);
      if (visited instanceof Promise) await visited;
      free.push(memory);
      continue;
    }
    // A failure is seen when its turn comes, not before.
    if (started instanceof Promise) started.catch(() => undefined);
    waiting.push(started);
    if (waiting.length >= REQUESTS_AT_ONCE) await finishFirst();
  }
  while (waiting.length > 0) await finishFirst();
}

function start(file: CheckedFile, first: number, offsets: Float64Array, bytes: Buffer): Maybe<TableRun> {
  const run = { first, offsets, bytes, view: viewOf(bytes) };
  const at = offsets[0] ?? 0;
  if (at >= file.size) {
    bytes.fill(0);
    return run;
  }
  const done = file.read(at, bytes);
  return done instanceof Promise ? done.then(() => run) : run;
}

/** Index after the last of the tables that lie one after the other from that of `first` on, as far as one request goes. */
function neighboursEnd(offsets: Float64Array, first: number, clusterSize: number): number {
  const most = Math.min(offsets.length, first + Math.max(1, Math.floor(REQUEST / clusterSize)));
  let end = first + 1;
  while (end < most && offsets[end] === (offsets[end - 1] ?? 0) + clusterSize) end++;
  return end;
}
