/** What can be set of an export, when it is made and later: what is done about errors, and what is counted. */
import type { Accounting } from '../block/accounting/accounting.ts';
import type { Backend } from '../block/backend/backend.ts';
import { type ErrorPolicy, errorPolicies } from '../block/error-policy.ts';
import { Usage } from '../errors/block-error.ts';
import { choice, integer, list } from '../options/fields.ts';
import type { EventBus } from './event-bus.ts';

const policy = (help: string) => choice(errorPolicies, { help, default: 'report' });

export const policyFields = {
  rerror: policy('When a read fails: report it to the client, ignore it, or stop until resumed'),
  werror: policy('The same for writes, discards and flushes'),
};

export const statsInterval = integer({ help: 'Seconds', required: true, min: 1, max: 86400 });

export const statsIntervals = list(statsInterval, { help: 'Keep averages over the last seconds too, as timed_stats' });

const MAX_INTERVALS = 16;

/** The lengths in seconds. @throws Usage for too many. */
export function checkIntervals(intervals: readonly number[]): void {
  if (intervals.length <= MAX_INTERVALS) return;
  throw new Usage(`${intervals.length} intervals are more than the ${MAX_INTERVALS} that can be kept`);
}

export function setIntervals(accounts: Accounting, intervals: readonly number[]): void {
  checkIntervals(intervals);
  accounts.setIntervals(intervals);
}

/** From now on errors are dealt with like this, and events tell of them. */
export function setErrorPolicies(
  backend: Backend,
  { rerror, werror }: { readonly rerror: ErrorPolicy; readonly werror: ErrorPolicy },
  events: EventBus,
): void {
  const { name = '' } = backend;
  if (rerror === 'report' && werror === 'report') {
    backend.errorPolicies = undefined;
    return;
  }
  backend.errorPolicies = {
    read: rerror,
    write: werror,
    failed: ({ operation, action, error }) =>
      events.emit('BLOCK_IO_ERROR', {
        'qom-path': `/exports/${name}`,
        device: name,
        'node-name': backend.image.name,
        operation,
        action,
        nospace: error.code === 'ENOSPC',
        reason: error.message,
      }),
  };
}
