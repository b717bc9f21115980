/** The document of the commands and events, in Markdown, made from their records. */
import { families } from './commands/index.ts';
import { eventTable } from './events.ts';
import type { AnyCommand } from './record.ts';
import type { Member, ObjectShape, Shape, Types } from './shape.ts';

const INTRO = `# The control socket

\`nbd --qmp unix:PATH\` listens for clients that speak QMP, the control protocol of QEMU: they build graphs of images,
start jobs and watch events while others read and write. Commands and their arguments are those of
\`qemu-storage-daemon\`; what it has not is marked as ours, or begins with \`x-blockyard-\`. This page is made from the
records that check the commands, and so is what \`query-qmp-schema\` answers.

What it has and is not here: nodes that are inactive, for handing images over to another program (\`blockdev-set-active\`,
\`active\`, \`allow-inactive\`), character devices by command (\`chardev-add\` and its relatives, \`ringbuf-read\`,
\`ringbuf-write\`), to which nothing could be attached, and exports by FUSE, vhost-user or vduse.

While a job works on a disk, it has a filter on top of it, which those who used the disk go through. Who comes later and
wants to write uses the node of the filter (\`filter-node-name\` names it); past it, he is refused.

## The protocol

The server begins with a greeting, \`{"QMP": {"version": …, "capabilities": ["oob"]}}\`. The client answers with
\`qmp_capabilities\`; before that no other command is accepted. A command is one JSON object,
\`{"execute": NAME, "arguments": {…}, "id": ANYTHING}\`, in which \`arguments\` and \`id\` may be missing. Its answer is
\`{"return": …, "id": …}\` or \`{"error": {"class": …, "desc": …}, "id": …}\`. Commands are carried out one after the other
in the order in which they come, and answered in that order. Of the capabilities \`oob\` may be enabled; no command can be
run out of band, and \`exec-oob\` says so.

Classes of errors are \`CommandNotFound\`, \`DeviceNotFound\`, \`DeviceNotActive\` (a \`block-job-\` command for a job that does
not exist) and \`GenericError\` for all else. The text is for people, and may change.

A value may be up to 16 MiB long and 128 levels deep. After something that is no JSON the server answers with an error
and reads on behind the next line break, or behind a byte 0xff. A client that lets 64 MiB wait is cut off.
`;

export function documentOf(types: Types): string {
  const parts = [INTRO];
  for (const { title, commands } of families) {
    parts.push(`## ${title}\n`, ...commands.map((command) => section(command)));
  }
  parts.push(
    '## Events\n',
    ...[...eventTable.values()].map((record) => eventSection(record.name, record.help, record.data)),
  );
  const [options, answers] = [true, false].map((branch) => [...types].filter(([, { cases }]) => !!cases === branch));
  parts.push('## Options of nodes\n', namedSection(options ?? []));
  parts.push(
    '## Answers that contain themselves\n',
    ...(answers ?? []).map(([name, shape]) => answerSection(name, shape)),
  );
  return `${parts.join('\n').trimEnd()}\n`;
}

function section({ name, help, features, argumentShape, returns }: AnyCommand): string {
  const marks = features.length > 0 ? ` *(${features.join(', ')})*` : '';
  const lines = [`### ${name}${marks}\n`, `${help}.\n`];
  lines.push(...table(argumentShape, 'Arguments'));
  if (!isNothing(returns)) lines.push(...returnLines(returns));
  return lines.join('\n');
}

function eventSection(name: string, help: string, data: ObjectShape): string {
  return [`### ${name}\n`, `${help}.\n`, ...table(data, 'Data')].join('\n');
}

function returnLines(shape: Shape): string[] {
  const inner = shape.kind === 'list' ? shape.item : shape;
  const what = shape.kind === 'list' ? 'Returns a list of' : 'Returns';
  if (inner.kind !== 'object') return [`${what}: ${word(inner)}.\n`];
  return table(inner, shape.kind === 'list' ? 'Returns a list of objects' : 'Returns');
}

function isNothing(shape: Shape): boolean {
  return shape.kind === 'object' && shape.members.length === 0 && !shape.cases;
}

function table(shape: Shape, title: string): string[] {
  if (shape.kind === 'named') return [`${title}: ${word(shape)}.\n`];
  if (shape.kind !== 'object' || isNothing(shape)) return [];
  return [`| ${title} | type | |`, '|---|---|---|', ...[...membersWithin(shape)].map(row), ''];
}

/** Members of groups follow the group, with its name before theirs; those of one kind say of which. */
function* membersWithin({ members, tag = '', cases = NONE }: Branching, prefix = ''): Generator<Member> {
  for (const member of members) {
    const name = prefix + member.name;
    yield { ...member, name };
    const { shape } = member;
    const inner = shape.kind === 'list' ? shape.item : shape;
    if (inner.kind === 'object') yield* membersWithin(inner, `${name}${shape.kind === 'list' ? '[]' : ''}.`);
  }
  if (prefix !== '' && cases.size > MOST_KINDS) return;
  for (const [kind, own] of cases) {
    for (const member of membersWithin({ members: own }, prefix)) {
      yield { ...member, help: `${member.help} (${tag} ${kind})` };
    }
  }
}

/** Kinds within a table beyond which they are not listed: the commands that are actions have tables of their own. */
const MOST_KINDS = 5;
const NONE: NonNullable<ObjectShape['cases']> = new Map();

type Branching = Pick<ObjectShape, 'members' | 'tag' | 'cases'>;

function row({ name, shape, help, optional, default: preset }: Member): string {
  const more = preset === undefined || preset === null ? '' : ` (default ${cell(JSON.stringify(preset))})`;
  return `| \`${name}\`${optional ? ' ?' : ''} | ${cell(word(shape))} | ${cell(help)}${more} |`;
}

function word(shape: Shape): string {
  switch (shape.kind) {
    case 'enum':
      return shape.values.length > 12 ? 'name' : shape.values.map((value) => `\`${value}\``).join(', ');
    case 'list':
      return `list of ${word(shape.item)}`;
    case 'either':
      return shape.forms.map(word).join(' or ');
    case 'named':
      return `[${shape.name}](#${shape.name.toLowerCase()})`;
    default:
      return {
        int: 'int',
        number: 'number',
        bool: 'bool',
        str: 'str',
        any: 'anything',
        null: 'null',
        object: 'object',
      }[shape.kind];
  }
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function answerSection(name: string, shape: ObjectShape): string {
  return [`### ${name}\n`, 'A member with ? may be missing.\n', ...table(shape, 'Member')].join('\n');
}

function namedSection(types: readonly (readonly [string, ObjectShape])[]): string {
  return types
    .map(([name, shape]) => {
      const head = [`### ${name}\n`, 'A member with ? may be left out. These members belong to all drivers:\n'];
      const common = table({ kind: 'object', members: shape.members }, 'Member');
      const cases = [...(shape.cases ?? [])].flatMap(([driver, members]) => [
        `#### ${name}: ${driver}\n`,
        ...(members.length === 0 ? ['No members of its own.\n'] : table({ kind: 'object', members }, 'Member')),
      ]);
      return [...head, ...common, ...cases].join('\n');
    })
    .join('\n');
}
