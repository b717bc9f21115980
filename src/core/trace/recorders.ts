/** Who records in a file: a file is there once for all of a process, by whatever name, so this is too. */

import type { TraceNode } from './record.ts';
import { TraceRecorder } from './recorder.ts';
import { openTraceFile } from './trace-file.ts';

const recorders = new Map<string, TraceRecorder>();

const PROGRAM = 'blockyard';

/** Leave to put down requests of a node, to be given back by `recorder.leave()`. */
export interface Recording {
  readonly recorder: TraceRecorder;
  /** Index of the node there. */
  readonly node: number;
}

/**
 * Begin to record requests of `node` in the file `path`, which is begun anew unless this process wrote what is in it now.
 * Throws when there can be no such file; `warn` is told when it cannot be written to.
 */
export async function beginRecording(
  path: string,
  node: TraceNode,
  warn: (message: string) => void,
): Promise<Recording> {
  const file = openTraceFile(path);
  let recorder = recorders.get(file.identity);
  if (!recorder?.continues(file)) {
    if (recorders.size === 0) process.on('exit', saveAll);
    recorder = new TraceRecorder(PROGRAM);
    recorders.set(file.identity, recorder);
  }
  return { recorder, node: await recorder.join(file, node, warn) };
}

/** The process ends, and somebody has not closed his images. */
function saveAll(): void {
  for (const recorder of recorders.values()) recorder.save();
}
