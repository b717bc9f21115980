/** `--help`, laid out by yargs from the records. Loaded only when help is asked for. */
import yargs from 'yargs';
import type { Io } from './io.ts';
import type { Program } from './main.ts';
import { HELP } from './parse-arguments.ts';
import type { AnyCommand, ArgumentSpec, OptionSpec } from './record.ts';
import { TRACE_OPTION, TRACE_PATTERN_OPTION } from './trace-option.ts';

const WIDTH = 80;
const HEADING = 'Options:';

/** Help of one subcommand. */
export async function commandHelp(record: AnyCommand, io: Io): Promise<string> {
  const name = [io.programName, record.name].filter((word) => word !== '').join(' ');
  const layout = blank().usage(`Usage: ${name} ${synopsis(record)}\n\n${record.summary}`);
  const operands = Object.values(record.arguments);
  for (const spec of operands) addOperand(layout, 'Arguments:', spec.name, spec.help);
  for (const spec of [...Object.values(record.options), HELP]) if (!spec.hidden) addOption(layout, spec);
  for (const [line, what] of record.examples ?? []) layout.example(line.replace(/^\w+/, io.programName), what);
  const ending = [...(record.description ?? []), statusLines(record)].filter((text) => text !== '');
  if (ending.length > 0) layout.epilogue(ending.join('\n\n'));
  return await finish(layout, operands, io);
}

/** Overview of a program: its subcommands under their headings, and what else there is to know. */
export async function programHelp(program: Program, io: Io): Promise<string> {
  const records = await Promise.all(Object.values(program.commands).map((load) => load()));
  const usage = `Usage: ${io.programName} [-h] [-V] [--trace FILE] [-T PATTERN] COMMAND …\n\n${program.summary}`;
  const layout = blank().usage(usage);
  const groups = new Set(records.map((record) => record.group ?? 'Commands'));
  for (const group of groups) {
    const members = records.filter((record) => (record.group ?? 'Commands') === group);
    for (const { name, summary } of members) addOperand(layout, `${group}:`, name, summary);
  }
  for (const spec of [HELP, ...GLOBAL_OPTIONS]) addOption(layout, spec);
  const notes = [
    ...((await program.notes?.()) ?? []),
    `'${io.programName} COMMAND --help' tells more about a command.`,
  ];
  layout.epilogue(notes.join('\n\n'));
  return await finish(layout, records, io);
}

const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  { short: 'V', long: 'version', help: 'Show the version' },
  TRACE_OPTION,
  TRACE_PATTERN_OPTION,
];

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
    ...(spec.default === undefined ? {} : { defaultDescription: spec.default }),
  });
}

/** What is typed without dashes: yargs lays it out as an option, {@link finish} takes the dashes away. */
function addOperand(layout: Layout, group: string, name: string, help: string): void {
  layout.option(name, { describe: help, group });
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

function statusLines(record: AnyCommand): string {
  const statuses = record.statuses ?? [];
  return statuses.length === 0
    ? ''
    : ['Exit status:', ...statuses.map(([code, text]) => `  ${code}  ${text}`)].join('\n');
}

async function finish(layout: Layout, operands: readonly { readonly name: string }[], io: Io): Promise<string> {
  const bare = new Set(operands.map((operand) => operand.name));
  // yargs writes every name with two dashes unless it is one letter; put right what is typed otherwise.
  const text = (await layout.getHelp()).replace(/^ {6}--([\w-]+)(\S*)/gm, (line, name: string, value: string) => {
    if (bare.has(name)) return `  ${name}${value}      `;
    return name.length === 1 ? `  -${name}${value.replace('=', ' ')}     ` : line;
  });
  const plain = text.replace(/[ \t]+$/gm, '');
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
