/** `PROGRAM help [NAME]`: the same texts as `--help`, and what else the program has help on. */
import { commandHelp, programHelp } from './help.ts';
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
      else io.stdout.write(await helpOn(program, name));
      return 0;

      async function helpOn(of: Program, wanted: string): Promise<string> {
        const form = of.alone?.forms.find((record) => record.name === wanted);
        const topic = form === undefined ? await of.topic?.(wanted) : undefined;
        return topic ?? (await commandHelp(form ?? (await loadCommand(of, wanted, tryHelp(io))), io));
      }
    },
  });
}
