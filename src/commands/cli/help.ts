/** `--help`, laid out by yargs from the records. Loaded only when help is asked for. */
import yargs from 'yargs';
import { GLOBAL_OPTIONS } from './global-options.ts';
import type { Io } from './io.ts';
import { commandsOf, type Program } from './main.ts';
import { HELP } from './parse-arguments.ts';
import type { AnyCommand, ArgumentSpec, OptionSpec } from './record.ts';

const WIDTH = 80;
const HEADING = 'Options:';

/** Help of one subcommand. */
export async function commandHelp(record: AnyCommand, io: Io): Promise<string> {
  return await recordHelp(record, `${io.programName} ${record.name}`, io);
}

/** Help of what a program does without a subcommand; those it has beside are listed too where it is the usual form. */
export async function aloneHelp(program: Program, record: AnyCommand, io: Io): Promise<string> {
  const isUsual = record === program.alone?.forms[0];
  const commands = isUsual ? await loadAll(program) : [];
  return await recordHelp(record, io.programName, io, commands);
}

async function recordHelp(
  record: AnyCommand,
  name: string,
  io: Io,
  commands: readonly AnyCommand[] = [],
): Promise<string> {
  const paragraphs = [record.summary, ...(record.description ?? [])].join('\n\n');
  const layout = blank().usage(`Usage: ${name} ${synopsis(record)}\n\n${paragraphs}`);
  for (const spec of Object.values(record.arguments)) addOperand(layout, 'Arguments:', spec.name, spec.help);
  for (const { name: word, summary } of commands) addOperand(layout, 'Commands, as the first word:', word, summary);
  for (const spec of [...Object.values(record.options), HELP]) if (!spec.hidden) addOption(layout, spec);
  const examples = (record.examples ?? []).map(([line, what]) =>
    exampleText(line.replace(/^(?:img|io|nbd)(?= )/, io.programName), what),
  );
  const ending = [
    ...(examples.length > 0 ? [`Examples:\n${examples.join('\n')}`] : []),
    ...(record.statuses ? [statusLines(record.statuses)] : []),
  ];
  if (ending.length > 0) layout.epilogue(ending.join('\n\n'));
  return await finish(layout, io);
}

/** Overview of a program: its subcommands under their headings, and what else there is to know. */
export async function programHelp(program: Program, io: Io): Promise<string> {
  if (program.alone) return await aloneHelp(program, program.alone.forms[0], io);
  const records = await loadAll(program);
  const usage = `Usage: ${io.programName} [-h] [-V] [--trace FILE] [-T PATTERN] COMMAND …\n\n${program.summary}`;
  const layout = blank().usage(usage);
  const groups = new Set(records.map((record) => record.group ?? 'Commands'));
  // All groups with the same second column.
  const width = Math.max(...records.map((record) => record.name.length));
  for (const group of groups) {
    const members = records.filter((record) => (record.group ?? 'Commands') === group);
    for (const { name, summary } of members) addOperand(layout, `${group}:`, name.padEnd(width, FILLER), summary);
  }
  for (const spec of Object.values(GLOBAL_OPTIONS)) addOption(layout, spec);
  const notes = [
    ...((await program.notes?.()) ?? []),
    `'${io.programName} COMMAND --help' and '${io.programName} help COMMAND' tell more about a command.`,
  ];
  layout.epilogue(notes.join('\n\n'));
  return await finish(layout, io);
}

function loadAll(program: Program): Promise<AnyCommand[]> {
  return Promise.all(Object.values(commandsOf(program)).map((load) => load()));
}

/** A blank that yargs does not take for the end of a name. */
const FILLER = '\u00a0';
const INDENT = '  ';

/** A command line that can be copied, also where it is too long for one line, and what it does. */
function exampleText(line: string, what: string): string {
  return [...wrap(line, ' \\').map((part) => INDENT + part), ...wrap(what).map((part) => INDENT.repeat(3) + part)].join(
    '\n',
  );
}

/** Lines of `text`, cut at blanks (not at those in single quotes); all but the last end with `mark`. */
function wrap(text: string, mark = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(/(?:'[^']*'|[^ '])+/g) ?? []) {
    const room = WIDTH - 3 * INDENT.length - mark.length;
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line + mark);
      line = INDENT.repeat(mark === '' ? 0 : 1) + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

type Layout = ReturnType<typeof yargs>;

function blank(): Layout {
  return yargs([]).help(false).version(false).locale('en').wrap(WIDTH);
}

function addOption(layout: Layout, spec: OptionSpec): void {
  const long = spec.long ?? spec.short ?? '';
  layout.option(spec.value === undefined ? long : long + valueText(spec), {
    ...(spec.long !== undefined && spec.short !== undefined ? { alias: spec.short } : {}),
    describe: spec.help,
    group: HEADING,
    ...(spec.default === undefined || spec.default === '' ? {} : { defaultDescription: spec.default }),
  });
}

/**
 * What is typed without dashes: yargs lays it out as an option, {@link finish} takes the dashes away. It knows it by
 * the filler, which also tells it from an option of that name.
 */
function addOperand(layout: Layout, group: string, name: string, help: string): void {
  layout.option(name + FILLER, { describe: help, group });
}

/** The value as it is typed behind the long name. */
function valueText(spec: OptionSpec): string {
  return spec.bare === undefined ? `=${spec.value}` : `[=${spec.value}]`;
}

/** Arguments and options in one line: `[OPTIONS] SRC… DST`. */
export function synopsis(record: AnyCommand): string {
  return ['[OPTIONS]', ...Object.values(record.arguments).map(argumentText)].join(' ');
}

function argumentText(spec: ArgumentSpec): string {
  const text = spec.repeat ? `${spec.name}…` : spec.name;
  return spec.optional ? `[${text}]` : text;
}

function statusLines(statuses: NonNullable<AnyCommand['statuses']>): string {
  const lines = statuses.map(([code, text]) => `${INDENT}${code}  ${wrap(text).join(`\n${INDENT.repeat(2)} `)}`);
  return ['Exit status:', ...lines].join('\n');
}

async function finish(layout: Layout, io: Io): Promise<string> {
  // yargs writes every name with two dashes unless it is one letter; put right what is typed otherwise.
  const text = (await layout.getHelp()).replace(
    new RegExp(`^ {6}--([\\w-]+)(${FILLER}?)(\\S*)`, 'gm'),
    (line, name: string, filler: string, value: string) => {
      if (filler !== '') return `${INDENT}${name}${filler}      `;
      return name.length === 1 ? `  -${name}${value.replace('=', ' ')}     ` : line;
    },
  );
  const plain = text.replaceAll(FILLER, ' ').replace(/[ \t]+$/gm, '');
  return `${coloured(io) ? await colour(plain) : plain}\n`;
}

function coloured(io: Io): boolean {
  return io.stdout.isTTY && io.env.TERM !== 'dumb' && (io.env.NO_COLOR ?? '') === '';
}

async function colour(text: string): Promise<string> {
  const { Chalk } = await import('chalk');
  const chalk = new Chalk({ level: 1 });
  return text
    .replace(/^(\w[^\n]*:)$/gm, (line) => chalk.bold(line))
    .replace(/^Usage:/, (word) => chalk.bold(word))
    .replace(/(?<=^ {2}|^ {2}-\w, |^ {6})--?[\w-]+/gm, (name) => chalk.cyan(name));
}
