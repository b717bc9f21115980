/** The list of commands, the only one. */
import type { ShellCommand } from '../shell-command.ts';
import { aioDiscard, aioFlush, aioRead, aioWrite } from './aio.ts';
import { alloc, map } from './allocation.ts';
import { breakCommand, removeBreak, resume, waitBreak } from './breakpoints.ts';
import { discard, flush } from './discard.ts';
import { help } from './help.ts';
import { info, length, truncate } from './image.ts';
import { fail, hold, labels, release, waitLabel } from './labels.ts';
import { close, open, reopen } from './open.ts';
import { abort, quit, sigraise, sleep } from './process.ts';
import { read, readv } from './read.ts';
import { write, writev } from './write.ts';
import { zoneCommands } from './zones.ts';

export const shellCommands: readonly ShellCommand[] = [
  ...[read, readv, write, writev, discard, flush],
  ...[aioRead, aioWrite, aioDiscard, aioFlush],
  ...[alloc, map, length, info, truncate],
  ...[open, reopen, close],
  ...[breakCommand, removeBreak, resume, waitBreak],
  ...[hold, release, fail, waitLabel, labels],
  ...zoneCommands,
  ...[sleep, sigraise, abort, help, quit],
];

/** By name and by alias. */
export function commandTable(commands: readonly ShellCommand[] = shellCommands): ReadonlyMap<string, ShellCommand> {
  const table = new Map<string, ShellCommand>();
  for (const command of commands) {
    table.set(command.name, command);
    if (command.alias !== undefined) table.set(command.alias, command);
  }
  return table;
}
