/**
 * Jobs: long work on a graph, or beside it.
 *
 * What belongs here: the job machine (states, verbs, the list of jobs), the copy engine that all copying jobs share,
 * and a file for each kind of job. A job works through backends, whose permissions decide what may run at the same
 * time. What does not belong here: anything that knows a format, a command or how progress is shown.
 */

export { AmendBody, type AmendRequest, amendJob, amendOptions } from './amend-job.ts';

export { assertBackingName, type BackingFacts, type BackingRequest, inspectBacking } from './backing-file.ts';
export { BackupBody, type BackupOptions, backupJob } from './backup-job.ts';
export { type BackupSync, type BitmapMode, backupSyncs, bitmapModes, planBackup } from './backup-plan.ts';
export { BitmapMergeBody, bitmapMergeJob, type MergeRequest } from './bitmap-merge.ts';
export { CheckBody, type CheckRequest, checkJob } from './check-job.ts';
export { type CommitRequest, commitLayers } from './commit-job.ts';

export { type ConvertOptions, type ConvertTarget, convert } from './convert.ts';
export { type BrokenBitmaps, bitmapNode, copyBitmaps, keptBitmaps } from './copy-bitmaps.ts';
export { copy, DEFAULT_PARALLEL, DEFAULT_SPARSE, TRANSFER } from './copy-engine/copy.ts';
export type { CopyControl, CopyOptions, CopySource, CopyTarget } from './copy-engine/types.ts';
export { CreateBody, type CreateRequest, type CreationOptions, createImage, creationOptions } from './create-image.ts';
export { type ErrorPolicy, errorPolicies } from './error-policy.ts';
export { Job, type JobBody, type JobEvents, type JobInit, type JobProgress } from './job.ts';
export { JobGroup } from './job-group.ts';
export { JobList } from './job-list.ts';
export { type CopyMode, copyModes } from './mirror/live-mirror.ts';
export {
  type ActiveCommitRequest,
  activeCommit,
  type LiveMirrorRequest,
  liveMirror,
  type MirrorSettings,
} from './mirror/start.ts';
export {
  type CopySettings,
  MirrorBody,
  type MirrorOptions,
  mirrorJob,
  type SyncMode,
  syncModes,
} from './mirror-job.ts';
export { type JobState, jobStates, mayGo } from './states.ts';
export { type StreamRequest, stream } from './stream-job.ts';
export { allows, type JobVerb, jobVerbs } from './verbs.ts';
