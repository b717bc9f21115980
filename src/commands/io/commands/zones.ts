/** The commands for zoned devices: no driver here knows of zones, so each ends in the line that says so. */
import { NotSupported } from '../../../core/errors/block-error.ts';
import { bytesWord } from '../request.ts';
import type { ShellCommand } from '../shell-command.ts';

interface ZoneCommand {
  readonly name: string;
  readonly alias: string;
  readonly usage: string;
  readonly what: string;
  readonly summary: string;
}

const COMMANDS: readonly ZoneCommand[] = [
  {
    name: 'zone_report',
    alias: 'zrp',
    usage: 'off count',
    what: 'report',
    summary: 'shows zones of a zoned device; none can be opened',
  },
  { name: 'zone_open', alias: 'zo', usage: 'off len', what: 'open', summary: 'opens zones; needs a zoned device' },
  { name: 'zone_close', alias: 'zc', usage: 'off len', what: 'close', summary: 'closes zones; needs a zoned device' },
  {
    name: 'zone_finish',
    alias: 'zf',
    usage: 'off len',
    what: 'finish',
    summary: 'finishes zones; needs a zoned device',
  },
  { name: 'zone_reset', alias: 'zrs', usage: 'off len', what: 'reset', summary: 'resets zones; needs a zoned device' },
  {
    name: 'zone_append',
    alias: 'zap',
    usage: 'off len [len..]',
    what: 'append',
    summary: 'appends to a zone; needs a zoned device',
  },
];

export const zoneCommands: readonly ShellCommand[] = COMMANDS.map(({ name, alias, usage, what, summary }) => ({
  name,
  alias,
  usage,
  summary,
  words: what === 'append' ? ([2, 3] as const) : ([2, 2] as const),
  run: (shell, { operands }) => {
    for (const word of operands) if (bytesWord(shell, word) === undefined) return false;
    return shell.failed(`zone ${what} failed`, new NotSupported('the image is no zoned device'));
  },
}));
