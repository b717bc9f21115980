/** How requests reach a disk: flags of the shell and of replay alike. */
import { aioWord, discardWord } from './commands/open.ts';

export const diskFlags = {
  discard: {
    short: 'd',
    long: 'discard',
    value: 'MODE',
    parse: discardWord,
    offers: ['ignore', 'unmap'],
    help: 'Whether discards are passed on: ignore or unmap (default: unmap)',
  },
  aio: {
    short: 'i',
    long: 'aio',
    value: 'MODE',
    parse: aioWord,
    offers: ['threads', 'native', 'io_uring'],
    help: 'How requests are carried out: threads, native or io_uring',
  },
} as const;
