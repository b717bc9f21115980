import type { NodeBitmaps } from './node-bitmaps.ts';

/** A bitmap under the names of the control socket's schema. */
export interface BitmapDescription {
  readonly name: string;
  /** Bytes in dirty granules. */
  readonly count: number;
  readonly granularity: number;
  readonly recording: boolean;
  readonly busy: boolean;
  readonly persistent: boolean;
  readonly inconsistent?: true;
}

export function describeBitmaps(bitmaps: NodeBitmaps): BitmapDescription[] {
  return [...bitmaps.named].map(({ name, count, granularity, recording, busy, persistent, inconsistent }) => ({
    name,
    count,
    granularity,
    recording: recording && !inconsistent,
    busy,
    persistent,
    ...(inconsistent ? { inconsistent } : {}),
  }));
}
