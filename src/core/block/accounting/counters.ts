/** The plain numbers for one kind of request. */

export const IO_KINDS = ['read', 'write', 'flush', 'unmap'] as const;
export type IoKind = (typeof IO_KINDS)[number];

export class KindCounters {
  operations = 0;
  bytes = 0;
  /** Ended with an error. */
  failed = 0;
  /** Refused before they were begun: outside of the disk, without permission. */
  invalid = 0;
  /** Taken into another request. */
  merged = 0;
  /** Nanoseconds of all that ended, together. */
  time = 0;
  /** Under way now. */
  inFlight = 0;
}
