import { BlockError } from '../../errors/block-error.ts';

/** What a cache mode word stands for: two properties of nodes and one of the backend. */
export interface CacheMode {
  /** Bypass the page cache. */
  readonly direct: boolean;
  /** Ignore flushes. */
  readonly noFlush: boolean;
  /** Every write is stable before it completes. */
  readonly writethrough: boolean;
}

const MODES: Readonly<Record<string, CacheMode>> = {
  none: { direct: true, noFlush: false, writethrough: false },
  off: { direct: true, noFlush: false, writethrough: false },
  writeback: { direct: false, noFlush: false, writethrough: false },
  writethrough: { direct: false, noFlush: false, writethrough: true },
  directsync: { direct: true, noFlush: false, writethrough: true },
  unsafe: { direct: false, noFlush: true, writethrough: false },
};

export const cacheModeNames = ['none', 'writeback', 'writethrough', 'directsync', 'unsafe'] as const;

/** The properties behind a word of `-t` and `-T`; `off` is another word for none. */
export function cacheMode(word: string): CacheMode {
  const mode = Object.hasOwn(MODES, word) ? MODES[word] : undefined;
  if (!mode) throw new BlockError(`'${word}' is not a cache mode; there are ${cacheModeNames.join(', ')}`);
  return mode;
}
