/** Reading many tables of a cluster each: neighbours in one request, several requests at once. */
import type { Maybe } from '../../../core/async/maybe.ts';
import { viewOf } from '../meta/struct.ts';
import type { CheckedFile } from './state.ts';

const REQUEST = 512 * 1024;
const REQUESTS_AT_ONCE = 8;

/** Tables that were read in one piece; `offsets[i]` is found at `i * clusterSize`. */
export interface TableRun {
  readonly offsets: readonly number[];
  readonly view: DataView;
}

/**
 * Call `visit` with the tables at `offsets`, in that order; what lies past the end of the file reads as zeroes.
 * A run is good until `visit` is done with it: its memory is used again. What is in memory costs no waiting.
 */
export async function readTables(
  file: CheckedFile,
  offsets: Iterable<number>,
  clusterSize: number,
  visit: (run: TableRun) => Maybe<void>,
): Promise<void> {
  const waiting: Maybe<TableRun>[] = [];
  const free: Uint8Array[] = [];
  const finishFirst = async (): Promise<void> => {
    const run = await waiting.shift();
    if (!run) return;
    await visit(run);
    free.push(new Uint8Array(run.view.buffer));
  };
  for (const run of neighbours(offsets, clusterSize)) {
    const bytes = free.pop() ?? new Uint8Array(Math.max(REQUEST, clusterSize));
    const started = start(file, run, bytes.subarray(0, run.length * clusterSize));
    if (!(started instanceof Promise) && waiting.length === 0) {
      const visited = visit(started);
      if (visited instanceof Promise) await visited;
      free.push(bytes);
      continue;
    }
    // A failure is seen when its turn comes, not before.
    if (started instanceof Promise) started.catch(() => undefined);
    waiting.push(started);
    if (waiting.length >= REQUESTS_AT_ONCE) await finishFirst();
  }
  while (waiting.length > 0) await finishFirst();
}

function start(file: CheckedFile, offsets: readonly number[], bytes: Uint8Array): Maybe<TableRun> {
  const run = { offsets, view: viewOf(bytes) };
  const at = offsets[0] ?? 0;
  if (at >= file.size) {
    bytes.fill(0);
    return run;
  }
  const done = file.read(at, bytes);
  return done instanceof Promise ? done.then(() => run) : run;
}

function* neighbours(offsets: Iterable<number>, clusterSize: number): Generator<number[]> {
  const most = Math.max(1, Math.floor(REQUEST / clusterSize));
  let run: number[] = [];
  for (const offset of offsets) {
    const last = run.at(-1);
    if (last !== undefined && (offset !== last + clusterSize || run.length >= most)) {
      yield run;
      run = [];
    }
    run.push(offset);
  }
  if (run.length > 0) yield run;
}
