/** Readers of the options of `io replay`. */
import { cacheMode } from '../../core/block/backend/cache-mode.ts';
import { Usage } from '../../core/errors/block-error.ts';
import type { TraceOp } from '../../core/trace/record.ts';

/** A guest behind a usual disk flushes when it wants to. */
export const WRITEBACK = cacheMode('writeback');

const KINDS: Readonly<Record<string, TraceOp>> = {
  reads: 'read',
  writes: 'write',
  zeroes: 'zero',
  discards: 'discard',
  flushes: 'flush',
  truncates: 'truncate',
};

/** `reads,flushes`. */
export function onlyValue(text: string, option: string): ReadonlySet<TraceOp> {
  return new Set(
    text.split(',').map((word) => {
      const op = Object.hasOwn(KINDS, word) ? KINDS[word] : undefined;
      if (op === undefined)
        throw new Usage(`${option} expects some of ${Object.keys(KINDS).join(', ')}, not '${word}'`);
      return op;
    }),
  );
}

const SLOWEST = 1e-6;
const FASTEST = 1e9;

/** A factor: `2`, `0.5`. */
export function speedValue(text: string, option: string): number {
  const value = /^\d+(\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= SLOWEST && value <= FASTEST) return value;
  throw new Usage(`${option} expects a number from 0.000001 to ${FASTEST}, not '${text}'`);
}
