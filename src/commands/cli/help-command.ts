/** `PROGRAM help [NAME]`: the same texts as `--help`, and what else the program has help on. */
import { aloneHelp, commandHelp, programHelp } from './help.ts';
import type { Io } from './io.ts';
import { commandsOf, loadCommand, type Program, tryHelp } from './main.ts';
import { type AnyCommand, command } from './record.ts';

export const HELP_GROUP = 'Help';

export function helpCommand(program: Program): AnyCommand {
  return command({
    name: 'help',
    group: HELP_GROUP,
    summary: 'Show the commands there are, or tell about one',
    arguments: {
      name: {
        name: 'COMMAND',
        help: 'Command to tell about',
        optional: true,
        offers: async () => Object.keys(commandsOf(program)),
      },
    },
    options: {},
    async run({ arguments: { name } }, io) {
      if (name === undefined) io.stdout.write(await programHelp(program, io));
      else io.stdout.write(await helpOn(program, name, io));
      return 0;
    },
  });
}

/** @throws Usage where there is no help of that name. */
async function helpOn(program: Program, name: string, io: Io): Promise<string> {
  const form = program.alone?.forms.find((record) => record.name === name && name !== '');
  if (form) return await aloneHelp(program, form, io);
  const topic = Object.hasOwn(commandsOf(program), name) ? undefined : await program.topic?.(name);
  return topic ?? (await commandHelp(await loadCommand(program, name, tryHelp(io)), io));
}
