import { BlockError, NotSupported } from '../errors/block-error.ts';

/** How requests that wait are carried out: the values of `aio=`. */
export const AIO_MODES = ['threads', 'native', 'io_uring'] as const;
export type AioMode = (typeof AIO_MODES)[number];

/** Those that are words, but that {@link checkAio} refuses: nobody is to be offered them. */
export const REFUSED_AIO_MODES = ['native', 'io_uring'] as const satisfies readonly AioMode[];

/**
 * Check `aio=` against `cache.direct=`. This build carries out requests on threads; asking for another way is an error
 * rather than a silent change of what the user wanted to measure or rely on.
 */
export function checkAio(mode: AioMode, direct: boolean): 'threads' {
  if (mode === 'threads') return mode;
  if (mode === 'native' && !direct) {
    throw new BlockError('aio=native needs cache.direct=on, which is off for this file', {
      hint: 'Set cache.direct=on (cache=none or cache=directsync), or use aio=threads',
    });
  }
  throw new NotSupported(`aio=${mode} is not available: this build runs requests on threads only`, {
    hint: 'Use aio=threads',
  });
}
