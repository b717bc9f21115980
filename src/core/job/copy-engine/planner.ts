/**
 * Cuts the sources into segments by their block status, in the order of offsets.
 *
 * Extents are joined and cut so that the requests made of them are good ones: data reaches from one multiple of the
 * transfer size to the next at most, whole allocation units of the target where only zeroes are in between, and short
 * holes that zero detection finds again are read along with the data around them. All offsets are those of the target.
 */
import type { Maybe } from '../../async/maybe.ts';
import type { ChainExtent } from '../../block/graph/status.ts';
import { alignDown, alignUp } from '../../bytes/ranges.ts';
import type { Known, KnownStatus } from './known-status.ts';
import type { Offload } from './offload.ts';
import type { CopySource, Segment, SegmentKind } from './types.ts';

export interface PlanOptions {
  readonly sources: readonly CopySource[];
  /** Longest data segment in bytes, a power of two. */
  readonly transfer: number;
  /** Where the kernel may copy: data that is mapped is kept apart from other data, and is cut as this says. */
  readonly offload?: Offload | undefined;
  /** Bytes that data segments should have at most from now on, though not less than a unit; may change. */
  shorter(): number;
  /** Unit of allocation of the target in bytes, a power of two. */
  readonly unit: number;
  /** Holes up to this long, and no shorter than `minZero`, are read along. */
  readonly joinGap: number;
  readonly minZero: number;
  /** Longest zero segment in bytes. */
  readonly maxZero: number;
  /** Holes are data too. */
  readonly everything: boolean;
  /** A unit in which one source ends and the next begins is one segment. */
  readonly wholeUnits: boolean;
  /** Asked before the sources are, and told what they say. */
  readonly known?: KnownStatus | undefined;
  /** Status cannot be had: take [offset, offset + length) as data, or throw. */
  onStatusError(error: unknown, offset: number): void;
}

/** Segments are made no shorter than this for the sake of an even speed, in bytes. */
const SHORTEST = 4096;

export class Planner {
  readonly #options: PlanOptions;
  #sourceIndex = 0;
  #at = 0;
  #index = 0;
  /** Data segment being put together. */
  #draft: Draft | undefined;
  /** Status that holds from `#at` on. */
  #known: Known | undefined;
  #pending: Promise<unknown> | undefined;

  constructor(options: PlanOptions) {
    this.#options = options;
    const [first] = options.sources;
    this.#at = first ? startOf(first) : 0;
  }

  /** The next segment; undefined at the end. May be called again before an answer has come. */
  next(): Maybe<Segment | undefined> {
    const before = this.#pending ?? this.#options.offload?.undecided;
    if (before) {
      return before.then(
        () => this.next(),
        () => this.next(),
      );
    }
    const result = this.#advance();
    if (!(result instanceof Promise)) return result;
    this.#pending = result.finally(() => {
      this.#pending = undefined;
    });
    this.#pending.catch(() => undefined);
    return result;
  }

  #advance(): Maybe<Segment | undefined> {
    for (;;) {
      const source = this.#options.sources[this.#sourceIndex];
      if (!source) return undefined;
      const end = endOf(source);
      if (this.#at >= end) {
        if (this.#draft) this.#fillUnit(this.#draft);
        const last = this.#emitDraft(source);
        this.#nextSource();
        if (last) return last;
        continue;
      }
      const known = this.#lookUp(source, end);
      if (known instanceof Promise) return known.then(() => this.#advance());
      const segment = this.#consume(source, known, end);
      if (segment) return segment;
    }
  }

  /** Take the rest of its last unit from the sources that follow. */
  #fillUnit(draft: { end: number }): void {
    const { sources, unit, wholeUnits } = this.#options;
    const last = sources.at(-1);
    if (wholeUnits && last) draft.end = Math.max(draft.end, Math.min(alignUp(draft.end, unit), endOf(last)));
    this.#at = draft.end;
  }

  /** Those that a unit before has taken whole are passed over. Parts of a live disk come in any order. */
  #nextSource(): void {
    const { sources, wholeUnits } = this.#options;
    this.#known = undefined;
    const taken = wholeUnits ? this.#at : 0;
    let next = sources[++this.#sourceIndex];
    while (next && endOf(next) <= taken) next = sources[++this.#sourceIndex];
    if (next) this.#at = Math.max(taken, startOf(next));
  }

  /** What is left of the source is not a whole unit, and another source has the rest of it. */
  #endsWithinUnit(end: number): boolean {
    const { wholeUnits, unit, sources } = this.#options;
    return wholeUnits && end % unit !== 0 && this.#sourceIndex < sources.length - 1;
  }

  /** What is at the current offset; asks the source when that is not known any more. */
  #lookUp(source: CopySource, end: number): Maybe<Known> {
    if (this.#known && this.#known.end > this.#at) return this.#known;
    const before = this.#options.known?.at(this.#at);
    if (before) {
      this.#known = before;
      return before;
    }
    const offset = this.#at - source.targetOffset;
    const failed = (error: unknown): Known => {
      this.#options.onStatusError(error, this.#at);
      return this.#learn({ end: Math.min(end, this.#nextTransfer(this.#at)), kind: 'data', mapped: false });
    };
    const learn = (extent: ChainExtent): Known => {
      const length = Math.max(1, Math.min(extent.length, end - this.#at));
      const mapped = extent.offset !== undefined && !extent.compressed;
      const known = this.#learn({ end: this.#at + length, kind: this.#kindOf(extent, source), mapped });
      this.#options.known?.note(this.#at, known);
      return known;
    };
    try {
      const base = source.base;
      const status = source.backend.chainStatus(offset, end - this.#at, base === undefined ? {} : { base });
      return status instanceof Promise ? status.then(learn, failed) : learn(status);
    } catch (error) {
      return failed(error);
    }
  }

  #learn(known: Known): Known {
    this.#known = known;
    return known;
  }

  #kindOf(extent: ChainExtent, source: CopySource): SegmentKind {
    if (source.base && !extent.allocated) return 'skip';
    if (source.below && extent.allocated && extent.node === source.below) return 'skip';
    if (this.#options.everything) return 'data';
    return extent.zero ? 'zero' : 'data';
  }

  /** Take in `known` from the current offset on; a segment when one is complete. */
  #consume(source: CopySource, known: Known, end: number): Segment | undefined {
    if (known.kind === 'data') return this.#sortOut(source, known.mapped) ?? this.#takeData(source, known.end);
    if (known.kind === 'zero') return this.#takeZero(source, known.end, end);
    return this.#emitDraft(source) ?? this.#emit(source, { offset: this.#at, end: known.end, kind: 'skip' });
  }

  /** Before data goes into the draft: the draft as it is, if that is long enough and of the other sort. */
  #sortOut(source: CopySource, mapped: boolean): Segment | undefined {
    const { unit, transfer, offload } = this.#options;
    const mappedTransfer = offload?.longest(transfer);
    if (mappedTransfer === undefined) return undefined;
    this.#draft ??= this.#newDraft();
    const draft = this.#draft;
    const shortEnd = this.#nextTransfer(draft.start);
    if (draft.mapped === undefined) {
      draft.mapped = mapped;
      if (mapped) draft.limit = this.#nextTransfer(draft.start, mappedTransfer);
    } else if (draft.mapped && !mapped) {
      if (this.#at >= shortEnd && this.#at % unit === 0) return this.#emitDraft(source);
      draft.mapped = false;
      draft.limit = Math.max(shortEnd, alignUp(this.#at, unit));
    }
    return undefined;
  }

  #newDraft(): Draft {
    return { start: this.#at, end: this.#at, limit: this.#nextTransfer(this.#at), mapped: undefined };
  }

  #takeData(source: CopySource, end: number): Segment | undefined {
    this.#draft ??= this.#newDraft();
    const { limit } = this.#draft;
    this.#draft.end = Math.min(end, limit);
    this.#at = this.#draft.end;
    return this.#at === limit ? this.#emitDraft(source) : undefined;
  }

  #takeZero(source: CopySource, zeroEnd: number, end: number): Segment | undefined {
    const { unit, joinGap, minZero, maxZero } = this.#options;
    if (!this.#draft) {
      const whole = zeroEnd === end && !this.#endsWithinUnit(end) ? end : alignDown(zeroEnd, unit);
      // Less than a unit before data: part of a unit that holds data.
      if (whole <= this.#at) return this.#takeData(source, zeroEnd);
      return this.#emit(source, { offset: this.#at, end: Math.min(whole, this.#at + maxZero), kind: 'zero' });
    }
    const gap = zeroEnd - this.#at;
    if (gap <= joinGap && gap >= minZero && zeroEnd < end) return this.#takeData(source, zeroEnd);
    const unitEnd = Math.min(zeroEnd, alignUp(this.#at, unit));
    if (unitEnd === zeroEnd && (zeroEnd < end || this.#endsWithinUnit(end))) return this.#takeData(source, zeroEnd);
    this.#draft.end = Math.min(unitEnd, this.#draft.limit);
    this.#at = this.#draft.end;
    return this.#emitDraft(source);
  }

  #nextTransfer(offset: number, transfer = this.#options.transfer): number {
    const { unit, shorter } = this.#options;
    const length = Math.min(transfer, Math.max(unit, SHORTEST, 2 ** Math.floor(Math.log2(shorter()))));
    return alignDown(offset, length) + length;
  }

  #emitDraft(source: CopySource): Segment | undefined {
    const draft = this.#draft;
    if (!draft) return undefined;
    this.#draft = undefined;
    const { start: offset, end, mapped = false } = draft;
    if (mapped) this.#options.offload?.planned();
    return this.#segment(source, { offset, end, kind: 'data', mapped });
  }

  #emit(source: CopySource, range: { offset: number; end: number; kind: SegmentKind }): Segment {
    this.#at = range.end;
    return this.#segment(source, { ...range, mapped: false });
  }

  #segment(source: CopySource, { offset, end, kind, mapped }: Known & { readonly offset: number }): Segment {
    return { index: this.#index++, source, offset, length: end - offset, kind, mapped };
  }
}

interface Draft {
  readonly start: number;
  end: number;
  limit: number;
  /** See {@link Segment.mapped}; undefined while there is nothing but zeroes in it. */
  mapped: boolean | undefined;
}

/** Where in the target the copy of a source begins, and where it ends. */
function startOf({ targetOffset, part }: CopySource): number {
  return targetOffset + (part?.offset ?? 0);
}

export function endOf({ targetOffset, part, backend }: CopySource): number {
  return targetOffset + (part ? part.offset + part.length : backend.size);
}
