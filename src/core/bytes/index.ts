/**
 * Bytes: pure functions over numbers and buffers — sizes as text, ranges, zeroes, record tables.
 *
 * No input or output, no state, no knowledge of formats. Offsets and lengths are bytes, safe integers;
 * what comes from a file as 64 bits is checked here on its way to a `number`.
 */
export * from './buffers.ts';
export * from './ranges.ts';
export * from './sizes.ts';
export * from './struct.ts';
export * from './zero.ts';
