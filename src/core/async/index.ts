/**
 * Async: work that may be done at once or later, and what keeps it in order.
 *
 * What belongs here: `Maybe`, closing what was acquired, locks, pools and clocks that know nothing of disks.
 * What does not: requests, images and jobs, which are built from these.
 */
export * from './closer.ts';
export * from './maybe.ts';
