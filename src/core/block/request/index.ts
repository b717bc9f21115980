/**
 * The request path: what happens to a request between an edge and a driver, once, for all drivers.
 *
 * Here belong bounds, alignment with read-modify-write, waiting for overlaps, splitting to limits, zero
 * detection and every fallback (FUA by flush, zero by write, status as all data). Here does not belong
 * anything that knows more than one node.
 */
export type { DetectZeroes } from './detect-zeroes.ts';
export { NodeIo } from './node-io.ts';
export { RequestTracker } from './tracker.ts';
