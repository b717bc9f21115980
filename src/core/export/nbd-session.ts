import type { ReplyForm } from '../nbd/index.ts';
import type { Export } from './export.ts';
import type { MetaContext } from './meta-contexts.ts';

/** What a client has negotiated when it enters the transmission phase. */
export interface Session {
  readonly target: Export;
  /** Bytes: what the client was told. */
  readonly size: number;
  readonly form: ReplyForm;
  /** Contexts that BLOCK_STATUS answers for. */
  readonly contexts: readonly MetaContext[];
  /** Alignment that the client has agreed to, in bytes; 1 when it did not ask. */
  readonly minimumBlock: number;
  /** Longest payload of a read or write, in bytes. */
  readonly maximumPayload: number;
}

/** What a client has that asked for nothing but `target`. */
export function plainSession(target: Export, minimumBlock: number): Session {
  const { size, blockSizes } = target;
  return { target, size, form: 'simple', contexts: [], minimumBlock, maximumPayload: blockSizes.maximum };
}
