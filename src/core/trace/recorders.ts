/** Who records in a file, by its path: a file is there once for all of a process, so this is too. */
import fs from 'node:fs';
import path from 'node:path';
import { TraceRecorder } from './recorder.ts';

const recorders = new Map<string, TraceRecorder>();

const PROGRAM = 'blockyard';

/** The recorder of the file `name`, which is begun anew unless this process wrote what is in it now. */
export function recorderFor(name: string): TraceRecorder {
  const key = realPath(name);
  const known = recorders.get(key);
  if (known?.continues) return known;
  const recorder = new TraceRecorder(name, PROGRAM);
  recorders.set(key, recorder);
  return recorder;
}

/** Of a file that may not exist yet. */
function realPath(name: string): string {
  const full = path.resolve(name);
  try {
    return path.join(fs.realpathSync(path.dirname(full)), path.basename(full));
  } catch {
    return full;
  }
}
