import type { Backend } from '../block/backend/backend.ts';
import { BlockError } from '../errors/block-error.ts';
import { type BlockSizes, ExportFlag, Limit, type ReplyForm } from '../nbd/index.ts';
import type { BitmapSource } from './bitmap-source.ts';
import { contextsOf, type MetaContext } from './meta-contexts.ts';

export interface ExportSettings {
  readonly name: string;
  readonly description?: string | undefined;
  /** Closed with the export. */
  readonly backend: Backend;
  readonly readOnly: boolean;
  readonly bitmaps?: readonly BitmapSource[];
  /** Show which layer of the chain holds what (`qemu:allocation-depth`). */
  readonly allocationDepth?: boolean;
}

/** Alignment beyond which the protocol does not go; the block layer pads the rest. */
const MAX_MINIMUM = 65_536;

/** What clients find under one name. */
export class Export {
  readonly name: string;
  readonly description: string;
  readonly backend: Backend;
  readonly readOnly: boolean;
  /** Kinds of block status, each with the number it is negotiated under. */
  readonly contexts: readonly MetaContext[];
  readonly #bitmaps: readonly BitmapSource[];
  #closed: Promise<void> | undefined;

  constructor(settings: ExportSettings) {
    this.name = checkedText(settings.name, 'an export name');
    this.description = checkedText(settings.description ?? '', 'an export description');
    this.backend = settings.backend;
    this.readOnly = settings.readOnly;
    this.contexts = contextsOf(settings);
    this.#bitmaps = settings.bitmaps ?? [];
  }

  /** Bytes. */
  get size(): number {
    return this.backend.size;
  }

  get blockSizes(): BlockSizes {
    const { requestAlignment = 1, maxTransfer = Limit.PAYLOAD } = this.backend.limits;
    const minimum = Math.min(requestAlignment, MAX_MINIMUM);
    const preferred = Math.max(Limit.PREFERRED_BLOCK, minimum);
    return { minimum, preferred, maximum: Math.max(preferred, Math.min(maxTransfer, Limit.PAYLOAD)) };
  }

  /** Transmission flags for a client that has negotiated this much. */
  flags(client: { form: ReplyForm; multiConn: boolean; statusPayload: boolean }): number {
    let flags = ExportFlag.HAS_FLAGS | ExportFlag.SEND_FLUSH | ExportFlag.SEND_FUA | ExportFlag.SEND_CACHE;
    if (this.readOnly) flags |= ExportFlag.READ_ONLY;
    else flags |= ExportFlag.SEND_TRIM | ExportFlag.SEND_WRITE_ZEROES | ExportFlag.SEND_FAST_ZERO;
    if (client.form !== 'simple') flags |= ExportFlag.SEND_DF;
    // All connections share one backend, so what one has flushed, all see.
    if (client.multiConn) flags |= ExportFlag.CAN_MULTI_CONN;
    if (client.form === 'extended' && client.statusPayload) flags |= ExportFlag.BLOCK_STATUS_PAYLOAD;
    return flags;
  }

  /** Let go of the bitmaps, flush and close the backend. Nobody may be connected any more. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const bitmap of this.#bitmaps) bitmap.release?.();
    await this.backend.close();
  }
}

function checkedText(text: string, what: string): string {
  const length = Buffer.byteLength(text);
  if (length > Limit.STRING) {
    throw new BlockError(`${what} of ${length} bytes is longer than the limit of ${Limit.STRING}`);
  }
  if (text.includes('\0')) throw new BlockError(`${what} contains a NUL`);
  return text;
}
