/**
 * Throttling: limits on bytes and requests per second, shared by the members of a group.
 *
 * Here belong the limits and their rules, the buckets that measure, and the order in which waiting requests go on.
 * Here does not belong where a limit is applied: that is a filter's or a backend's business.
 */
export { LeakyBucket } from './bucket.ts';
export { ThrottleGroup, ThrottleMember } from './group.ts';
export {
  checkLimits,
  groupLimits,
  groupOptions,
  hasLimits,
  type LimitOptions,
  limitFields,
  limitsFrom,
  optionsFrom,
  type ThrottleLimits,
} from './limits.ts';
