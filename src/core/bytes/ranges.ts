/** A piece of a file or disk: `length` bytes from `offset`. A value; every function here returns a new one. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The largest multiple of `unit` not above `value`. Works beyond 2^32, where bit masks do not. */
export function alignDown(value: number, unit: number): number {
  return value - (value % unit);
}

/** The smallest multiple of `unit` not below `value`. */
export function alignUp(value: number, unit: number): number {
  const rest = value % unit;
  return rest === 0 ? value : value + (unit - rest);
}

export function isAligned(range: Range, unit: number): boolean {
  return range.offset % unit === 0 && range.length % unit === 0;
}

export function endOf(range: Range): number {
  return range.offset + range.length;
}

/** Range from `start` up to `end`; empty when `end` lies before `start`. */
export function between(start: number, end: number): Range {
  return { offset: start, length: Math.max(0, end - start) };
}

/** What of `range` lies within `bounds`; empty, at the nearer bound, when nothing does. */
export function clip(range: Range, bounds: Range): Range {
  const start = Math.min(Math.max(range.offset, bounds.offset), endOf(bounds));
  return between(start, Math.min(endOf(range), endOf(bounds)));
}

export function overlaps(a: Range, b: Range): boolean {
  return a.offset < endOf(b) && b.offset < endOf(a);
}

export function contains(outer: Range, inner: Range): boolean {
  return inner.offset >= outer.offset && endOf(inner) <= endOf(outer);
}

/** The smallest aligned range that covers `range`; an empty range stays empty. */
export function alignOut(range: Range, unit: number): Range {
  const start = alignDown(range.offset, unit);
  return range.length === 0 ? { offset: start, length: 0 } : between(start, alignUp(endOf(range), unit));
}

/** The largest aligned range within `range`; empty when it covers no whole unit. */
export function alignIn(range: Range, unit: number): Range {
  return between(alignUp(range.offset, unit), alignDown(endOf(range), unit));
}

/** Pieces that do not cross a multiple of `unit`, in order. */
export function* split(range: Range, unit: number): Generator<Range> {
  const end = endOf(range);
  for (let at = range.offset; at < end; ) {
    const next = Math.min(end, alignDown(at, unit) + unit);
    yield between(at, next);
    at = next;
  }
}

/** Sorted ranges without empty ones, where those that touch or overlap have become one. */
export function merge(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const range of ranges.filter((item) => item.length > 0).sort((a, b) => a.offset - b.offset)) {
    const last = merged.at(-1);
    if (last && range.offset <= endOf(last)) {
      merged[merged.length - 1] = between(last.offset, Math.max(endOf(last), endOf(range)));
    } else merged.push({ offset: range.offset, length: range.length });
  }
  return merged;
}

/** What of `range` none of `holes` covers. */
export function subtract(range: Range, holes: readonly Range[]): Range[] {
  const left: Range[] = [];
  let at = range.offset;
  for (const hole of merge(holes.map((item) => clip(item, range)))) {
    if (hole.offset > at) left.push(between(at, hole.offset));
    at = endOf(hole);
  }
  if (at < endOf(range)) left.push(between(at, endOf(range)));
  return left;
}
