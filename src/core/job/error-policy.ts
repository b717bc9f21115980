/** What a job does when a request fails, `on-source-error` and `on-target-error`: the same words as for backends. */
export { type ErrorAction, type ErrorPolicy, errorAction, errorPolicies } from '../block/error-policy.ts';
