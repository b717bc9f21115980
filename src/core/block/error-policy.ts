/** What is done when a request fails: `rerror` and `werror` of a backend, `on-source-error` and `on-target-error` of a job. */
import type { BlockError } from '../errors/block-error.ts';

export const errorPolicies = ['report', 'ignore', 'enospc', 'stop'] as const;

/**
 * report: the job fails; ignore: it goes on without the range; stop: it pauses, and tries again when resumed;
 * enospc: stop where the space ran out, else report.
 */
export type ErrorPolicy = (typeof errorPolicies)[number];

export type ErrorAction = 'report' | 'ignore' | 'stop';

export function errorAction(policy: ErrorPolicy, error: BlockError): ErrorAction {
  if (policy === 'enospc') return error.code === 'ENOSPC' ? 'stop' : 'report';
  return policy;
}
