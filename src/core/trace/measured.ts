/** What comes out of a replay, per kind of request: as it was recorded, and as it was replayed. */
import { Histogram } from './histogram.ts';
import type { TraceOp, TraceRequest } from './record.ts';

export interface Side {
  count: number;
  bytes: number;
  errors: number;
  readonly latency: Histogram;
}

export interface Kind {
  readonly recorded: Side;
  readonly replayed: Side;
}

/** A request for the picture of where they went. */
export interface Sample {
  readonly op: TraceOp;
  /** Nanoseconds since the first one, as recorded. */
  readonly time: number;
  readonly offset: number;
  readonly length: number;
}

/** Requests that are kept for the picture, out of any number. */
const MOST_SAMPLES = 8000;

export class Measured {
  readonly kinds = new Map<TraceOp, Kind>();
  /** All kinds together. */
  readonly total: Kind = { recorded: side(), replayed: side() };
  readonly samples: Sample[] = [];
  #seen = 0;
  #random = 0x2545f491;
  #first: number | undefined;

  /** @param latency nanoseconds that the replayed request took; `failed` whether it did. */
  add(request: TraceRequest, latency: number, failed: boolean): void {
    const kind = this.#kind(request.op);
    const recorded = request.end === undefined ? undefined : request.end - request.start;
    for (const { recorded: then, replayed } of [kind, this.total]) {
      count(then, request, recorded, request.result !== 0);
      count(replayed, request, latency, failed);
    }
  }

  /** Every request has the same chance to be among those that are kept. */
  sample(request: TraceRequest, offset: number): void {
    this.#first ??= request.start;
    if (request.op === 'flush' || request.op === 'truncate') return;
    const sample = { op: request.op, time: request.start - this.#first, offset, length: request.length };
    const place = this.#seen++ < MOST_SAMPLES ? this.samples.length : this.#below(this.#seen);
    if (place < MOST_SAMPLES) this.samples[place] = sample;
  }

  #below(limit: number): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) | 0;
    return Math.floor(((this.#random >>> 0) / 2 ** 32) * limit);
  }

  #kind(op: TraceOp): Kind {
    const known = this.kinds.get(op);
    if (known) return known;
    const kind = { recorded: side(), replayed: side() };
    this.kinds.set(op, kind);
    return kind;
  }
}

function side(): Side {
  return { count: 0, bytes: 0, errors: 0, latency: new Histogram() };
}

function count(to: Side, request: TraceRequest, latency: number | undefined, failed: boolean): void {
  to.count++;
  if (request.op !== 'truncate') to.bytes += request.length;
  if (failed) to.errors++;
  if (latency !== undefined) to.latency.add(Math.max(0, Math.round(latency)));
}
