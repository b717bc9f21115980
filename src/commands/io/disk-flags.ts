/** How requests reach a disk: flags of the shell and of replay alike. */
import { AIO_WORDS } from '../cli/aio-option.ts';
import { offeredChoices } from '../cli/record.ts';
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
    value: AIO_WORDS.value,
    parse: aioWord,
    offers: offeredChoices(AIO_WORDS),
    help: AIO_WORDS.help,
  },
} as const;
