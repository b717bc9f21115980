import type { BlockError } from '../../core/errors/block-error.ts';
import type { ReadProgress } from '../../core/nbd/client/read-progress.ts';
import type { ClientRequest, ExtentsReply } from '../../core/nbd/index.ts';

export type RequestFields = Pick<ClientRequest, 'command' | 'flags' | 'offset' | 'length'>;

/** A request whose promise is the only one it takes. */
export class Request implements ClientRequest {
  readonly command: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly buffers: readonly Uint8Array[];
  readonly #resolve: (status: ExtentsReply | undefined) => void;
  readonly #reject: (error: BlockError) => void;
  progress: ReadProgress | undefined = undefined;
  error: BlockError | undefined = undefined;
  errors = 0;
  status: ExtentsReply | undefined = undefined;

  constructor(
    { command, flags, offset, length }: RequestFields,
    buffers: readonly Uint8Array[],
    resolve: (status: ExtentsReply | undefined) => void,
    reject: (error: BlockError) => void,
  ) {
    this.command = command;
    this.flags = flags;
    this.offset = offset;
    this.length = length;
    this.buffers = buffers;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  done(error: BlockError | undefined): void {
    if (error) this.#reject(error);
    else this.#resolve(this.status);
  }
}
