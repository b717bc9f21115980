/** What `io help NAME` tells of a command of the shell: the same as the shell's own `help NAME`. */
import { extendedHelp } from './commands/help.ts';
import { shellCommands } from './commands/index.ts';
import { usageLine } from './shell-command.ts';

/** Undefined for a name that no command has. */
export async function shellTopic(name: string): Promise<string | undefined> {
  const found = shellCommands.find((each) => each.name === name || each.alias === name);
  return found === undefined ? undefined : usageLine(found) + extendedHelp(found);
}
