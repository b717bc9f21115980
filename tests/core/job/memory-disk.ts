/** A disk in memory that records its requests, and a graph to open it in: what the tests of jobs copy between. */
import { after, type Maybe } from '../../../src/core/async/maybe.ts';
import { nextTurn } from '../../../src/core/async/turn.ts';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import type { Driver, DriverList, Extent, Image } from '../../../src/core/block/driver.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { type OperationPart, operations } from '../../../src/core/block/graph/operations.ts';
import { BlockError, NotSupported } from '../../../src/core/errors/block-error.ts';
import { defineOptions, text } from '../../../src/core/options/fields.ts';

export interface Request {
  readonly kind: 'read' | 'write' | 'zero' | 'compressed' | 'flush' | 'copy' | 'close';
  readonly offset: number;
  readonly length: number;
}

export interface DiskSettings {
  readonly size: number;
  readonly content?: Uint8Array;
  /** Granularity of status: a block of zeroes is a hole. Undefined: all is data. */
  readonly holes?: number;
  /** Where the data is none that the kernel could copy: by blocks of `holes`. */
  readonly unmapped?: (offset: number) => boolean;
  /** Asking for the status there fails. */
  readonly statusFails?: (offset: number) => boolean;
  /** Requests wait for the event loop; a function says for how many turns of it, and may say 0. */
  readonly slow?: boolean | (() => number);
  /** Refuses zeroing other than by writing. */
  readonly noZero?: boolean;
  readonly compresses?: boolean;
  readonly clusterSize?: number;
  /** It can copy in the kernel; a function says which requests. */
  readonly copies?: 'works' | 'refuses' | ((request: Request) => boolean);
  /** Throw for a request to make it fail. */
  fault?(request: Request): void;
}

/** The disk, and everything that was asked of it. */
export class MemoryDisk {
  readonly data: Uint8Array;
  readonly settings: DiskSettings;
  readonly log: Request[] = [];
  inFlight = 0;
  mostInFlight = 0;

  constructor(settings: DiskSettings) {
    this.settings = settings;
    this.data = Buffer.alloc(settings.size);
    if (settings.content) this.data.set(settings.content);
  }

  of(...kinds: Request['kind'][]): Request[] {
    return this.log.filter((request) => kinds.includes(request.kind));
  }

  image(): Image {
    const { settings } = this;
    return {
      size: settings.size,
      zeroFlags: 2 | 4,
      readsZeroWhenFresh: true,
      read: (offset, buf) =>
        this.#do('read', offset, buf.length, () => void buf.set(this.data.subarray(offset, offset + buf.length))),
      write: (offset, buf) => this.#do('write', offset, buf.length, () => this.data.set(buf, offset)),
      zero: (offset, length) => {
        if (settings.noZero) throw new NotSupported('no zeroing');
        return this.#do('zero', offset, length, () => void this.data.fill(0, offset, offset + length));
      },
      flush: () => this.#do('flush', 0, 0, () => undefined),
      close: async () => void this.log.push({ kind: 'close', offset: 0, length: 0 }),
      ...(settings.holes ? { status: (offset: number, length: number) => this.#status(offset, length) } : {}),
      ...(settings.clusterSize ? { info: () => ({ clusterSize: settings.clusterSize ?? 0 }) } : {}),
      ...(settings.compresses
        ? {
            writeCompressed: (offset: number, buf: Uint8Array) =>
              this.#do('compressed', offset, buf.length, () => this.data.set(buf, offset)),
          }
        : {}),
      ...(settings.copies
        ? {
            copyRangeFrom: (offset, target, targetOffset, length): Maybe<boolean> => {
              if (settings.copies === 'refuses') return false;
              const request: Request = { kind: 'copy', offset, length };
              let copied = true;
              const look = (): void => {
                if (typeof settings.copies === 'function') copied = settings.copies(request);
              };
              return after(this.#do('copy', offset, length, look), () => {
                if (!copied) return false;
                return after(target.write(targetOffset, this.data.subarray(offset, offset + length)), () => true);
              });
            },
          }
        : {}),
    };
  }

  #do(kind: Request['kind'], offset: number, length: number, action: () => void): Maybe<void> {
    const request = { kind, offset, length };
    this.log.push(request);
    const { slow = false } = this.settings;
    const turns = typeof slow === 'function' ? slow() : Number(slow);
    if (turns === 0) {
      this.settings.fault?.(request);
      return action();
    }
    return this.#later(turns, () => {
      this.settings.fault?.(request);
      action();
    });
  }

  async #later(turns: number, action: () => void): Promise<void> {
    this.inFlight++;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      for (let turn = 0; turn < turns; turn++) await nextTurn();
      action();
    } finally {
      this.inFlight--;
    }
  }

  #status(offset: number, length: number): Extent {
    if (this.settings.statusFails?.(offset)) throw new BlockError('bad status', { code: 'EIO' });
    const unit = this.settings.holes ?? 512;
    const isHole = (at: number): boolean =>
      this.data.subarray(at - (at % unit), at - (at % unit) + unit).every((byte) => byte === 0);
    const kind = (at: number): string => `${isHole(at)} ${this.settings.unmapped?.(at) ?? false}`;
    const zero = isHole(offset);
    let end = offset - (offset % unit) + unit;
    while (end < offset + length && kind(end) === kind(offset)) end += unit;
    const place = this.settings.unmapped?.(offset) ? {} : { offset };
    return { length: Math.min(length, end - offset), allocated: true, data: !zero, zero, ...place };
  }
}

export function failWith(code: 'EIO' | 'ENOSPC', when: (request: Request) => boolean): (request: Request) => void {
  return (request) => {
    if (when(request)) throw new BlockError(code === 'EIO' ? 'bad disk' : 'disk full', { code });
  };
}

/** A graph whose only driver is `memory`; its disks are found by name. */
export class MemoryGraph {
  readonly disks = new Map<string, MemoryDisk>();
  readonly graph: BlockGraph;

  constructor() {
    const driver: Driver = {
      name: 'memory',
      kind: 'protocol',
      options: defineOptions({ disk: text({ help: 'Which', required: true }) }),
      open: async ({ options }) => this.#find(String(options.disk)).image(),
    };
    const drivers: DriverList = {
      entries: [{ name: 'memory', kind: 'protocol', load: async () => driver }],
      protocolForPath: () => 'memory',
    };
    this.graph = new BlockGraph({ drivers, references: 'all', warn: () => undefined });
  }

  #find(name: string): MemoryDisk {
    const disk = this.disks.get(name);
    if (!disk) throw new BlockError(`no disk '${name}'`, { code: 'ENOENT' });
    return disk;
  }

  async open(name: string, disk: MemoryDisk, permissions: OperationPart = operations.mirror.source): Promise<Backend> {
    this.disks.set(name, disk);
    return Backend.open(
      this.graph,
      { driver: 'memory', disk: name },
      { user: `the user of '${name}'`, permissions, open: { modes: { unmap: true } } },
    );
  }

  openTarget(name: string, disk: MemoryDisk): Promise<Backend> {
    return this.open(name, disk, operations.mirror.target);
  }
}

/** Bytes that are nowhere zero. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = ((at * 31 + seed * 17 + (at >> 9)) % 255) + 1;
  return bytes;
}

/** A disk content of `length` bytes with patterns at the given ranges and zeroes elsewhere. */
export function contentWith(
  length: number,
  ...ranges: readonly (readonly [offset: number, length: number])[]
): Uint8Array {
  const bytes = Buffer.alloc(length);
  for (const [offset, size] of ranges) bytes.set(pattern(size, offset + 1), offset);
  return bytes;
}
