/**
 * The dirty bitmaps of a node: those with a name, which users make and images keep, and those of jobs.
 *
 * Who records a change, and when; what may be done to a bitmap in which state, and the error where it may not. The bits
 * themselves are core/bitmap's, the places in a file the driver's (`BitmapStore`).
 */
export * from './describe.ts';
export * from './named-bitmap.ts';
export * from './node-bitmaps.ts';
export * from './track-writes.ts';
export * from './tracker.ts';
export * from './verbs.ts';
