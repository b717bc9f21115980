import { CorruptImage } from '../../core/errors/block-error.ts';

/** A compressed cluster that cannot be what it should: `what` completes "compressed cluster: …". */
export function badCluster(what: string, cause?: unknown): CorruptImage {
  return new CorruptImage(`compressed cluster: ${what}`, cause === undefined ? {} : { cause });
}
