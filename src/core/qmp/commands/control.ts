/** The session itself: negotiation, what there is, the end. */
import { anything, choice, group, integer, list, text } from '../../options/fields.ts';
import { eventTable } from '../events.ts';
import { introspect } from '../introspect.ts';
import { type AnyCommand, command } from '../record.ts';

const required = { required: true } as const;

const capabilities = command({
  name: 'qmp_capabilities',
  help: 'End the negotiation; before it no other command is accepted',
  arguments: {
    enable: list(choice(['oob'], { help: 'A capability', ...required }), {
      help: 'Capabilities from the greeting to use',
    }),
  },
  negotiates: true,
  run({ enable = [] }, { session }) {
    session.negotiate(enable);
  },
});

const number = (help: string) => integer({ help, ...required });

const version = command({
  name: 'query-version',
  help: 'Tell as of which QEMU the commands are, and which program answers',
  returns: group(
    {
      qemu: group(
        { major: number('First number'), minor: number('Second number'), micro: number('Third number') },
        { help: 'The version whose commands and fields these are', ...required },
      ),
      package: text({ help: 'Name and version of the program', ...required }),
    },
    { help: 'The version', ...required },
  ),
  run: (_, { service }) => service.version,
});

const queryCommands = command({
  name: 'query-commands',
  help: 'List the commands by name',
  returns: list(group({ name: text({ help: 'The name', ...required }) }, { help: 'A command', ...required }), {
    help: 'All commands',
    ...required,
  }),
  async run(_, { service }) {
    return [...(await service.commands()).keys()].map((name) => ({ name }));
  },
});

const schema = command({
  name: 'query-qmp-schema',
  help: 'Describe all commands and events with the types of what they take and give',
  returns: list(anything({ help: 'A command, an event or a type', ...required }), {
    help: 'Entries as the specification of QMP has them',
    ...required,
  }),
  async run(_, { service }) {
    const commands = await service.commands();
    return [...introspect(commands.values(), eventTable.values(), await service.types())];
  },
});

const quit = command({
  name: 'quit',
  help: 'End the program: exports and jobs are stopped, images are closed',
  run(_, { service }) {
    service.quit('host-qmp-quit');
  },
});

export const controlCommands: readonly AnyCommand[] = [capabilities, version, queryCommands, schema, quit];
