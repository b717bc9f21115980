/** What drivers and commands use of the room `throttle`. */
export {
  groupLimits,
  hasLimits,
  type LimitOptions,
  limitFields,
  limitsFrom,
  ThrottleGroup,
  type ThrottleLimits,
  type ThrottleMember,
} from './throttle/index.ts';
