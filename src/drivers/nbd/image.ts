/**
 * An export as an image: each operation is one request, present where the server says it can do it.
 *
 * The server's block sizes become limits, so that the layer above pads and splits. What the server does not offer is
 * absent here, and the layer above has its ways for that.
 */
import { clock } from '../../core/async/clock.ts';
import type { Maybe } from '../../core/async/maybe.ts';
import type { Extent, Flags, Image, Limits, TruncateOptions } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { totalLength } from '../../core/bytes/buffers.ts';
import { alignDown, alignUp } from '../../core/bytes/ranges.ts';
import { type BlockError, NotSupported } from '../../core/errors/block-error.ts';
import {
  AllocationState,
  Command,
  CommandFlag,
  ExportFlag,
  type ExtentsReply,
  Limit,
  type Negotiated,
} from '../../core/nbd/index.ts';
import { ExtentRun } from './extent-run.ts';
import { Request, type RequestFields } from './request.ts';
import type { Session } from './session.ts';

/** Longest question about status in bytes: its length has 32 bits, or the server should not look too far at a time. */
const NARROW_STATUS = 2 ** 32 - 2 ** 16;
const WIDE_STATUS = 2 ** 36;
/** Milliseconds that extents beyond the first one of a reply are taken for true. */
const EXTENTS_AGE = 1000;
const SECTOR = 512;
const NO_BUFFERS: readonly Uint8Array[] = [];

export interface NbdImageSettings {
  readonly session: Session;
  /** Of the export, for messages. */
  readonly name: string;
  /** Status is `qemu:allocation-depth`: depths above 2 are all the same. */
  readonly depths: boolean;
}

export class NbdImage implements Image {
  readonly size: number;
  readonly limits: Limits;
  readonly writeFlags: Flags;
  readonly zeroFlags: Flags;
  readonly readsZeroWhenFresh = false;
  readonly write?: (offset: number, buf: Uint8Array, flags: Flags) => Promise<void>;
  readonly writev?: (offset: number, bufs: readonly Uint8Array[], flags: Flags) => Promise<void>;
  readonly zero?: (offset: number, length: number, flags: Flags) => Promise<void>;
  readonly discard?: (offset: number, length: number) => Promise<void>;
  readonly flush?: () => Promise<void>;
  readonly status?: (offset: number, length: number, precise: boolean) => Maybe<Extent>;
  readonly #session: Session;
  readonly #name: string;
  readonly #depths: boolean;
  readonly #unit: number;
  readonly #wide: boolean;
  #run: ExtentRun | undefined;
  #runSince = 0;
  /** Changes begun and ended so far. */
  #changes = 0;

  constructor({ session, name, depths }: NbdImageSettings) {
    const { negotiated } = session;
    const { flags } = negotiated;
    this.#session = session;
    this.#name = name;
    this.#depths = depths;
    this.#wide = negotiated.mode === 'extended';
    this.size = negotiated.size;
    this.limits = limitsOf(negotiated);
    this.#unit = this.limits.requestAlignment ?? 1;
    const fua = flags & ExportFlag.SEND_FUA ? Flag.FUA : 0;
    this.writeFlags = fua;
    this.zeroFlags = fua | Flag.MAY_UNMAP;
    if ((flags & ExportFlag.READ_ONLY) === 0) {
      this.write = (offset, buf, known) => this.#write(offset, buf.length, [buf], known);
      this.writev = (offset, bufs, known) => this.#write(offset, totalLength(bufs), bufs, known);
      if (flags & ExportFlag.SEND_WRITE_ZEROES)
        this.zero = (offset, length, known) => this.#zero(offset, length, known);
      if (flags & ExportFlag.SEND_TRIM) {
        this.discard = (offset, length) => this.#change({ command: Command.TRIM, flags: 0, offset, length });
      }
    }
    if (flags & ExportFlag.SEND_FLUSH) {
      this.flush = () => this.#ask({ command: Command.FLUSH, flags: 0, offset: 0, length: 0 }) as Promise<void>;
    }
    if (negotiated.contextId !== undefined) this.status = (offset, length) => this.#status(offset, length);
  }

  read(offset: number, buf: Uint8Array): Promise<void> {
    return this.#ask({ command: Command.READ, flags: 0, offset, length: buf.length }, [buf]) as Promise<void>;
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Promise<void> {
    return this.#ask({ command: Command.READ, flags: 0, offset, length: totalLength(bufs) }, bufs) as Promise<void>;
  }

  /** An export has the size that its server gives it. */
  async truncate(size: number, { exact = true, preallocation = 'off' }: TruncateOptions): Promise<void> {
    if (preallocation !== 'off')
      throw new NotSupported(`preallocation=${preallocation} does not exist for NBD exports`);
    if (size > this.size || (exact && size !== this.size)) {
      throw new NotSupported(`the NBD export '${this.#name}' has ${this.size} bytes and cannot be resized to ${size}`);
    }
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  #ask(what: RequestFields, buffers: readonly Uint8Array[] = NO_BUFFERS): Promise<ExtentsReply | undefined> {
    if (isNothing(what)) return NOTHING;
    return new Promise((resolve, reject) => {
      this.#session.send(new Request(what, buffers, resolve, reject));
    });
  }

  #write(offset: number, length: number, bufs: readonly Uint8Array[], known: Flags): Promise<void> {
    return this.#change(
      { command: Command.WRITE, flags: known & Flag.FUA ? CommandFlag.FUA : 0, offset, length },
      bufs,
    );
  }

  #zero(offset: number, length: number, known: Flags): Promise<void> {
    let flags = known & Flag.FUA ? CommandFlag.FUA : 0;
    if ((known & Flag.MAY_UNMAP) === 0) flags |= CommandFlag.NO_HOLE;
    if (known & Flag.NO_FALLBACK) {
      if ((this.#session.negotiated.flags & ExportFlag.SEND_FAST_ZERO) === 0) {
        throw new NotSupported(`the server of NBD export '${this.#name}' cannot tell whether zeroing is fast`);
      }
      flags |= CommandFlag.FAST_ZERO;
    }
    return this.#change({ command: Command.WRITE_ZEROES, flags, offset, length });
  }

  /** What was known of extents holds no more from the moment a change begins until it has ended. */
  #change(what: RequestFields, buffers: readonly Uint8Array[] = NO_BUFFERS): Promise<void> {
    if (isNothing(what)) return NOTHING;
    this.#forgetExtents();
    return new Promise((resolve, reject) => {
      const succeed = (): void => {
        this.#forgetExtents();
        resolve();
      };
      const fail = (error: BlockError): void => {
        this.#forgetExtents();
        reject(error);
      };
      this.#session.send(new Request(what, buffers, succeed, fail));
    });
  }

  #forgetExtents(): void {
    this.#run = undefined;
    this.#changes++;
  }

  #status(offset: number, length: number): Maybe<Extent> {
    const run = this.#run;
    const known = run && clock() - this.#runSince < EXTENTS_AGE ? run.at(offset) : undefined;
    if (known) return this.#extent(offset, length, known);
    return this.#askStatus(offset, length);
  }

  async #askStatus(offset: number, length: number): Promise<Extent> {
    const start = alignDown(offset, this.#unit);
    const most = this.#wide ? WIDE_STATUS : NARROW_STATUS;
    const asked = Math.min(alignUp(offset + length, this.#unit) - start, most, this.size - start);
    const changes = this.#changes;
    const payload = await this.#ask({ command: Command.BLOCK_STATUS, flags: 0, offset: start, length: asked });
    const run = payload && new ExtentRun(payload, start, this.size, this.#unit);
    if (this.#changes === changes) {
      this.#run = run;
      this.#runSince = clock();
    }
    // A reply that does not reach as far as it was asked from says nothing.
    return this.#extent(offset, length, run?.at(offset) ?? { length: Math.min(length, asked), flags: 0 });
  }

  #extent(offset: number, length: number, known: { readonly length: number; readonly flags: number }): Extent {
    const flags = this.#depths ? Math.min(known.flags, 2) : known.flags;
    return {
      length: Math.min(length, known.length),
      allocated: true,
      data: (flags & AllocationState.HOLE) === 0,
      zero: (flags & AllocationState.ZERO) !== 0,
      offset,
    };
  }
}

/** What a server does with a request for no bytes "is unspecified". */
function isNothing({ command, length }: Pick<Request, 'command' | 'length'>): boolean {
  return length === 0 && command !== Command.FLUSH;
}

const NOTHING = Promise.resolve(undefined);

/** "Size constraints". Without them a byte is a block where the server shows signs of not being an old one. */
function limitsOf({ blockSizes, size, contextId, mode }: Negotiated): Limits {
  const guess = size % SECTOR !== 0 || contextId !== undefined ? 1 : SECTOR;
  const requestAlignment = blockSizes?.minimum ?? guess;
  const maximum = Math.min(blockSizes?.maximum ?? Limit.PAYLOAD, Limit.PAYLOAD);
  const maxTransfer = alignDown(maximum, requestAlignment);
  const long = { maxZero: Number.MAX_SAFE_INTEGER, maxDiscard: Number.MAX_SAFE_INTEGER };
  const short = { maxZero: maxTransfer, maxDiscard: alignDown(0x7fff_ffff, requestAlignment) };
  return {
    requestAlignment,
    maxTransfer,
    zeroAlignment: requestAlignment,
    discardAlignment: requestAlignment,
    ...(blockSizes ? { optimalTransfer: blockSizes.preferred } : {}),
    ...(mode === 'extended' ? long : short),
  };
}
