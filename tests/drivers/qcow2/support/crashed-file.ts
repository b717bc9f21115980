/** A host file as a crash may have left it. */
import type { LogEntry, MemoryFile } from './memory-file.ts';

const SECTOR = 512;

/**
 * `start` with the first `at` entries of the log: all that was stable by then, and any part of what came later, cut at
 * sector boundaries.
 */
export function rebuild(
  start: MemoryFile,
  log: readonly LogEntry[],
  at: number,
  random: (below: number) => number,
): MemoryFile {
  let stable = 0;
  for (let index = 0; index < at; index++) {
    const entry = log[index];
    if (entry?.kind === 'flush') stable = Math.max(stable, entry.covers);
  }
  const file = start.clone();
  const keep = random(3);
  for (let index = 0; index < at; index++) {
    const entry = log[index];
    if (!entry || entry.kind === 'flush') continue;
    if (entry.kind === 'truncate') file.applyTruncate(entry.size);
    else if (index < stable || keep === 0) apply(file, entry, () => true);
    else if (keep === 1) apply(file, entry, () => random(2) === 0);
    else {
      const whole = random(2) === 0;
      apply(file, entry, () => whole);
    }
  }
  return file;
}

function apply(file: MemoryFile, entry: LogEntry, survives: () => boolean): void {
  if (entry.kind === 'zero') {
    if (survives()) file.applyZero(entry.offset, entry.length);
    return;
  }
  if (entry.kind !== 'write') return;
  for (let at = 0; at < entry.bytes.length; ) {
    const end = Math.min(entry.bytes.length, at + SECTOR - ((entry.offset + at) % SECTOR));
    if (survives()) file.apply(entry.offset + at, entry.bytes.subarray(at, end));
    at = end;
  }
}
