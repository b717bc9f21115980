/**
 * `blkverify`: two images that must be the same at all times, `raw`, which is trusted, and `test`. Writes go to
 * both; reads come from both and are compared. Where they differ the request fails with EIO, and so does every
 * later one: what a user of the disk would do from then on is not worth knowing.
 */
import type { Maybe } from '../../core/async/maybe.ts';
import type { Driver, Flags, Image, Limits, OpenContext, TruncateOptions } from '../../core/block/driver.ts';
import { Flag } from '../../core/block/driver.ts';
import { assertWholeUnits, FilterImage, trimPadding, trimPaddingOf } from '../../core/block/filter.ts';
import type { Edge } from '../../core/block/graph/edge.ts';
import { asBlockError, BlockError, NotSupported, Usage } from '../../core/errors/block-error.ts';
import { defineOptions, type OptionsOf, text } from '../../core/options/fields.ts';

const options = defineOptions({
  'x-raw': text({ help: 'File name of the trusted image', hidden: true }),
  'x-image': text({ help: 'File name of the image under test', hidden: true }),
});

type BlkverifyOptions = OptionsOf<typeof options>;

class BlkverifyImage extends FilterImage {
  readonly #test: Edge;
  readonly #names: string;
  readonly #warn: (message: string) => void;
  /** The first difference: from there on nothing works. */
  #broken: BlockError | undefined;

  constructor(raw: Edge, test: Edge, context: OpenContext<BlkverifyOptions>) {
    super(raw);
    this.#test = test;
    this.#names = `'${raw.node.fileName}' and '${test.node.fileName}', compared by '${context.nodeName}',`;
    this.#warn = (message) => context.warn(message);
  }

  override get size(): number {
    return this.#test.node.image.size;
  }

  override get limits(): Limits {
    const [a, b] = [this.file.limits, this.#test.limits];
    return {
      requestAlignment: Math.max(a.requestAlignment ?? 1, b.requestAlignment ?? 1),
      memoryAlignment: Math.max(a.memoryAlignment ?? 1, b.memoryAlignment ?? 1),
    };
  }

  override read(offset: number, buf: Uint8Array): Maybe<void> {
    const trusted = Buffer.allocUnsafeSlow(buf.length);
    const run = (edge: Edge) => edge.read(offset, edge === this.file ? trusted : buf);
    return this.#both(`reading ${buf.length} bytes at ${offset}`, run, () => this.#compare(offset, trusted, buf));
  }

  override readv(offset: number, bufs: readonly Uint8Array[]): Maybe<void> {
    const trusted = bufs.map((buf) => Buffer.allocUnsafeSlow(buf.length));
    const run = (edge: Edge) => edge.readv(offset, edge === this.file ? trusted : bufs);
    return this.#both(`reading at ${offset}`, run, () => {
      let at = offset;
      for (const [index, buf] of bufs.entries()) {
        this.#compare(at, trusted[index] ?? buf, buf);
        at += buf.length;
      }
    });
  }

  override write(offset: number, buf: Uint8Array, flags: Flags): Maybe<void> {
    const part = trimPadding(this.#test, this.limits.requestAlignment ?? 1, offset, buf);
    return this.#both(`writing ${buf.length} bytes at ${offset}`, (edge) => edge.write(offset, part, flags));
  }

  override writev(offset: number, bufs: readonly Uint8Array[], flags: Flags): Maybe<void> {
    const parts = trimPaddingOf(this.#test, this.limits.requestAlignment ?? 1, offset, bufs);
    return this.#both(`writing at ${offset}`, (edge) => edge.writev(offset, parts, flags));
  }

  override get writeCompressed(): undefined {
    return undefined;
  }

  override zero(offset: number, length: number, flags: Flags): Maybe<void> {
    if ((flags & Flag.NO_FALLBACK) !== 0) return this.#zeroFast(offset, length, flags);
    return this.#both(`zeroing ${length} bytes at ${offset}`, (edge) => edge.zero(offset, length, flags));
  }

  /** Without writing, unless just one of the two needs that: which is no difference. */
  async #zeroFast(offset: number, length: number, flags: Flags): Promise<void> {
    const what = `zeroing ${length} bytes at ${offset}`;
    const declined = new Map<Edge, NotSupported>();
    assertWholeUnits([this.file, this.#test], offset, length);
    await this.#both(what, async (edge) => {
      try {
        await edge.zero(offset, length, flags);
      } catch (error) {
        if (!(error instanceof NotSupported)) throw error;
        declined.set(edge, error);
      }
    });
    const [error] = declined.values();
    if (error && declined.size > 1) throw error;
    const written = flags & ~Flag.NO_FALLBACK;
    await this.#both(what, (edge) => (declined.has(edge) ? edge.zero(offset, length, written) : undefined));
  }

  /** What is discarded may read differently from either. */
  override discard(): Maybe<void> {}

  override flush(): Maybe<void> {
    return this.#both('flushing', (edge) => edge.flush());
  }

  override async truncate(size: number, settings: TruncateOptions): Promise<void> {
    await this.#both(`resizing to ${size} bytes`, (edge) => edge.truncate(size, settings));
  }

  override copyRangeFrom(): Maybe<boolean> {
    return false;
  }

  override copyRangeTo(): Maybe<boolean> {
    return false;
  }

  /** Do the same with both images, which must end in the same way. */
  #both(what: string, run: (edge: Edge) => Maybe<void>, then?: () => void): Maybe<void> {
    if (this.#broken) throw this.#broken;
    const trusted = outcome(() => run(this.file));
    const tested = outcome(() => run(this.#test));
    const judge = ([a, b]: readonly [BlockError | undefined, BlockError | undefined]): void => {
      if (a?.code !== b?.code) {
        throw this.#differ(
          `${this.#names} differ in ${what}: ${a?.message ?? 'success'}, and ${b?.message ?? 'success'}`,
        );
      }
      if (b) throw b;
      then?.();
    };
    if (!(trusted instanceof Promise) && !(tested instanceof Promise)) return judge([trusted, tested]);
    return Promise.all([trusted, tested]).then(judge);
  }

  #compare(offset: number, trusted: Uint8Array, tested: Uint8Array): void {
    if (Buffer.compare(trusted, tested) === 0) return;
    const at = trusted.findIndex((byte, index) => byte !== tested[index]);
    throw this.#differ(`contents of ${this.#names} differ at offset ${offset + at}`);
  }

  #differ(message: string): BlockError {
    if (this.#broken) return this.#broken;
    this.#broken = new BlockError(message, { code: 'EIO' });
    // A guest, or a client, is told no more than that there was an error.
    this.#warn(message);
    return this.#broken;
  }
}

/** How a request ended: with nothing, or with an error. */
function outcome(run: () => Maybe<void>): Maybe<BlockError | undefined> {
  try {
    const done = run();
    return done instanceof Promise ? done.then(() => undefined, asBlockError) : undefined;
  } catch (error) {
    return asBlockError(error);
  }
}

async function open(context: OpenContext<BlkverifyOptions>): Promise<Image> {
  return new BlkverifyImage(context.child('raw'), context.child('test'), context);
}

/** `blkverify:RAW:TEST`; any other name is that of the image under test. */
function parseFileName(name: string): Record<string, unknown> {
  if (!name.startsWith('blkverify:')) return { 'x-image': name };
  const [, raw, test] = /^blkverify:([^:]+):(.+)$/s.exec(name) ?? [];
  if (raw === undefined || test === undefined) throw new Usage(`'${name}' is not of the form blkverify:RAW:TEST`);
  return { 'x-raw': raw, 'x-image': test };
}

/** Undefined where the name of the raw image would end at its first colon. */
function nameFor(_options: BlkverifyOptions, childName: (edge: string) => string | undefined): string | undefined {
  const [raw, test] = [childName('raw'), childName('test')];
  return raw === undefined || raw.includes(':') || test === undefined ? undefined : `blkverify:${raw}:${test}`;
}

export const blkverifyDriver: Driver<BlkverifyOptions> = {
  name: 'blkverify',
  kind: 'filter',
  options,
  slots: [
    // Never guessed: whoever writes to the test image could make it look like something else.
    { name: 'raw', role: 'filtered', nameOption: 'x-raw' },
    { name: 'test', role: 'data', anyNode: true, nameOption: 'x-image' },
  ],
  schemes: ['blkverify'],
  parseFileName,
  nameFor,
  open,
};
