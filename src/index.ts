/**
 * Blockyard as a library: the same block layer that the commands use, for programs.
 *
 * What belongs here: names that a program may rely on, re-exported from the rooms that define them.
 * What does not: any code of its own.
 */
export { Backend } from './core/block/backend/backend.ts';
export { cacheModeNames } from './core/block/backend/cache-mode.ts';
export type { Extent, ImageInfo, TruncateOptions } from './core/block/driver.ts';
export { Flag } from './core/block/driver.ts';
export { BlockGraph, type ChangedBasePolicy } from './core/block/graph/block-graph.ts';
export { Node } from './core/block/graph/node.ts';
export { operations } from './core/block/graph/operations.ts';
export type { ReferencePolicy } from './core/block/graph/references.ts';
export type { NodeSpec } from './core/block/graph/spec.ts';
export type { ChainExtent } from './core/block/graph/status.ts';
export * from './core/errors/block-error.ts';
export { Job, type JobBody, type JobEvents, type JobInit, type JobProgress, type JobState } from './core/job/index.ts';
export { JobList } from './core/job/job-list.ts';
export * from './library/index.ts';
