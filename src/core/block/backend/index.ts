/**
 * Backends: the handles through which commands, exports and jobs use a graph.
 *
 * Here belong the permissions and habits of a user: cache mode, bounds, waiting while the graph is drained.
 * Here does not belong anything about how nodes are made or stacked.
 */
export { Backend, type BackendSettings } from './backend.ts';
export { type CacheMode, cacheMode, cacheModeNames } from './cache-mode.ts';
export type { ErrorPolicies, FailedRequest } from './gate.ts';
