/**
 * `raw`: the bytes of its file as they are, or a window of them (`offset`, `size`).
 *
 * A raw disk whose first sector is written by a guest can be made to look like another format, which would
 * then be believed at the next probing. So where the format was guessed, such a write is refused.
 */
import { after, type Maybe } from '../../core/async/maybe.ts';
import type {
  CreateContext,
  Driver,
  Extent,
  Flags,
  HostExtent,
  Image,
  Limits,
  OpenContext,
  ReopenCapability,
  TruncateOptions,
} from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { Perm, type PermPair } from '../../core/block/permissions-bits.ts';
import { BlockError, NotSupported } from '../../core/errors/block-error.ts';
import { bytes, choice, defineOptions, type OptionsOf } from '../../core/options/fields.ts';

const SECTOR = 512;

/** What every probe looks at first: a guessed raw image is written there in whole sectors, so that each can be judged. */
const PROBED = SECTOR;

const options = defineOptions({
  offset: bytes({ help: 'Where the disk starts in the file, in bytes', default: 0 }),
  size: bytes({ help: 'Length of the disk in bytes; by default up to the end of the file', multipleOf: SECTOR }),
});

type RawOptions = OptionsOf<typeof options>;

type Sniff = (head: Uint8Array) => string | undefined;

class RawImage implements Image {
  readonly writeFlags = Flag.FUA | Flag.UNCHANGED;
  readonly zeroFlags = Flag.FUA | Flag.MAY_UNMAP | Flag.NO_FALLBACK | Flag.UNCHANGED;
  readonly readsZeroWhenFresh: boolean;
  readonly reopen: ReopenCapability;
  readonly #passEvent: NonNullable<Image['event']>;
  readonly #file: Edge;
  #start: number;
  #length: number | undefined;
  /** Set where the format was guessed. */
  readonly #sniff: Sniff | undefined;

  constructor(file: Edge, window: RawOptions, sniff: Sniff | undefined) {
    this.#file = file;
    this.#start = window.offset;
    this.#length = window.size;
    this.#sniff = sniff;
    this.reopen = { prepare: async (next) => this.#prepareReopen(next as RawOptions) };
    this.#passEvent = (name) => file.event(name);
    this.readsZeroWhenFresh = file.node.image.readsZeroWhenFresh ?? false;
  }

  async #prepareReopen(next: RawOptions): ReturnType<ReopenCapability['prepare']> {
    const file = this.#file;
    const { role } = file;
    checkWindow(next, file);
    file.role = isWindow(next) ? 'data' : 'filtered';
    return {
      commit: () => {
        this.#start = next.offset;
        this.#length = next.size;
      },
      abort: () => {
        file.role = role;
      },
    };
  }

  get limits(): Limits {
    const { limits } = this.#file;
    return this.#sniff ? { ...limits, requestAlignment: wholeSectors(limits) } : limits;
  }

  /** Present only while a fault injector below listens. */
  get event(): Image['event'] {
    return this.#file.node.image.event && this.#passEvent;
  }

  get size(): number {
    return this.#length ?? Math.max(0, this.#file.size - this.#start);
  }

  get blockSizes(): Image['blockSizes'] {
    return this.#file.node.image.blockSizes;
  }

  get geometry(): Image['geometry'] {
    return this.#start === 0 && this.#length === undefined ? this.#file.node.image.geometry : undefined;
  }

  read(offset: number, buf: Uint8Array): Maybe<void> {
    if (this.event) return after(this.#passEvent('read_aio'), () => this.#file.read(this.#start + offset, buf));
    return this.#file.read(this.#start + offset, buf);
  }

  readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    if (this.event) return after(this.#passEvent('read_aio'), () => this.#file.readv(this.#start + offset, bufs));
    return this.#file.readv(this.#start + offset, bufs);
  }

  write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    this.#checkRoom(offset, buf.length);
    if (offset < PROBED && this.#sniff) this.#refuseDisguise(buf);
    if (this.event)
      return after(this.#passEvent('write_aio'), () => this.#file.write(this.#start + offset, buf, flags));
    return this.#file.write(this.#start + offset, buf, flags);
  }

  writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    if (this.#length !== undefined) {
      let length = 0;
      for (const buf of bufs) length += buf.length;
      this.#checkRoom(offset, length);
    }
    if (offset < PROBED && this.#sniff) this.#refuseDisguise(Buffer.concat(bufs));
    if (this.event)
      return after(this.#passEvent('write_aio'), () => this.#file.writev(this.#start + offset, bufs, flags));
    return this.#file.writev(this.#start + offset, bufs, flags);
  }

  #refuseDisguise(head: Uint8Array): void {
    const format = this.#sniff?.(head);
    if (format === undefined) return;
    throw new BlockError(`writing a ${format} header to sector 0 of a guessed raw image is refused`, {
      code: 'EPERM',
      hint: 'Say the format (raw) when opening the image to allow it',
    });
  }

  #checkRoom(offset: number, length: number): void {
    if (this.#length === undefined || offset + length <= this.#length) return;
    throw new BlockError(`request at ${offset} ends past the window of ${this.#length} bytes`, { code: 'ENOSPC' });
  }

  zero(offset: number, length: number, flags: Flags): Maybe<void> {
    this.#checkRoom(offset, length);
    return this.#file.zero(this.#start + offset, length, flags);
  }

  discard(offset: number, length: number): Maybe<void> {
    return this.#file.discard(this.#start + offset, length);
  }

  flush(): Maybe<void> {
    return this.#file.flush();
  }

  truncate(size: number, settings: TruncateOptions): Promise<void> {
    if (this.#length !== undefined) throw new NotSupported('a raw image with a fixed size cannot be resized');
    return this.#file.truncate(this.#start + size, settings);
  }

  status(offset: number, length: number): Extent {
    return {
      length,
      allocated: true,
      data: true,
      zero: false,
      offset: this.#start + offset,
      edge: this.#file,
      recurse: true,
      transparent: true,
    };
  }

  copyRangeFrom(offset: number, target: Edge, targetOffset: number, length: number): Maybe<boolean> {
    return this.#file.copyRangeFrom(this.#start + offset, target, targetOffset, length);
  }

  copyRangeTo(offset: number, source: HostExtent, length: number): Maybe<boolean> {
    this.#checkRoom(offset, length);
    if (offset < PROBED && this.#sniff) return false;
    return this.#file.copyRangeTo(this.#start + offset, source, length);
  }

  /** A window takes of its file what its users need, and no right to resize it for being written to. */
  childPermissions(_name: string, users: PermPair, usual: PermPair): PermPair {
    const changes = Perm.WRITE | Perm.RESIZE;
    return { ...usual, perm: (usual.perm & ~changes) | (users.perm & changes) };
  }

  async close(): Promise<void> {}
}

function wholeSectors(limits: Limits): number {
  return Math.max(PROBED, limits.requestAlignment ?? 1);
}

function isWindow({ offset, size }: RawOptions): boolean {
  return offset > 0 || size !== undefined;
}

/** Throws when the window does not lie within the file. */
function checkWindow({ offset, size }: RawOptions, file: Edge): void {
  const { fileName } = file.node;
  const available = file.size;
  if (offset > available) {
    throw new BlockError(`raw offset ${offset} lies past the end of '${fileName}' (${available} bytes)`);
  }
  if (size !== undefined && size > available - offset) {
    throw new BlockError(`raw size ${size} at offset ${offset} exceeds '${fileName}' (${available} bytes)`);
  }
}

async function open(context: OpenContext<RawOptions>): Promise<Image> {
  const file = context.child('file');
  checkWindow(context.options, file);
  // A window is a part of its file: it needs the file itself to keep its length.
  if (isWindow(context.options)) file.role = 'data';
  if (context.probed && !context.modes.readOnly) {
    context.warn(
      `the format of '${context.fileName}' was not given and was guessed as raw; ` +
        'writes to its first sector that look like another format are refused',
    );
  }
  return new RawImage(file, context.options, context.probed && !context.modes.readOnly ? context.sniff : undefined);
}

const createOptions = defineOptions({
  size: bytes({ help: 'Virtual disk size', default: 0 }),
  preallocation: choice(['off', 'falloc', 'full'], {
    help: 'Preallocation mode (allowed values: off, falloc, full)',
    default: 'off',
  }),
});

async function create(context: CreateContext): Promise<void> {
  const { size, preallocation } = context.options as OptionsOf<typeof createOptions>;
  if (!context.file) throw new Error('raw is created on a file');
  await context.file.truncate(Math.ceil(size / SECTOR) * SECTOR, { preallocation, exact: false });
}

export const rawDriver: Driver<RawOptions> = {
  name: 'raw',
  kind: 'format',
  options,
  slots: [{ name: 'file', role: 'filtered' }],
  strongOptions: ['offset', 'size'],
  probe: () => 1,
  open,
  create: {
    options: createOptions,
    withProtocolOptions: true,
    protocolOptions: ['preallocation'],
    run: create,
    async measure({ size, source }) {
      const required = Math.ceil((size ?? source?.size ?? 0) / SECTOR) * SECTOR;
      return { required, fullyAllocated: required };
    },
  },
};
