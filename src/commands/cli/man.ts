/** Man pages from the records of a program's subcommands: the same list that parses the command line. */
import { GLOBAL_OPTIONS } from './global-options.ts';
import { type Alone, commandsOf, type Program } from './main.ts';
import { HELP } from './parse-arguments.ts';
import type { AnyCommand, ArgumentSpec, OptionSpec } from './record.ts';
import { VERSION, VERSION_DATE } from './version.ts';

/** The page `NAME(1)` in roff's `man` macros; the same records give the same text. */
export async function renderMan(program: Program): Promise<string> {
  const { help: _, ...globalOptions } = GLOBAL_OPTIONS;
  const records = await Promise.all(Object.values(commandsOf(program)).map((load) => load()));
  const lines = [
    `.\\" Generated from the command records; do not edit.`,
    titleLine(program.name),
    '.SH NAME',
    `${roff(program.name)} \\- ${roff(program.summary)}`,
    '.SH SYNOPSIS',
    `.B ${roff(program.name)}`,
    '[\\fB\\-h\\fR] [\\fB\\-V\\fR] [\\fB\\-\\-trace\\fR \\fIFILE\\fR] [\\fB\\-T\\fR \\fIPATTERN\\fR] \\fICOMMAND\\fR ...',
    '.SH OPTIONS',
    ...entry(optionText(HELP), 'Show help, after a command that of the command'),
    ...Object.values(globalOptions).flatMap((spec) => entry(optionText(spec), optionHelp(spec))),
    '.SH COMMANDS',
    ...records.flatMap((record) => commandLines(program.name, record)),
    ...[...((await program.notes?.()) ?? []), ...(program.remarks ?? [])].flatMap((note, index) => [
      index === 0 ? '.SH NOTES' : '.PP',
      ...paragraph(note),
    ]),
    '.SH EXIT STATUS',
    '0 on success, 1 on failure where a command does not say otherwise, 130 after an interrupt.',
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * The same for a program that has work of its own: its command line, the other forms of that, and subcommands.
 * @param more sections that stand between.
 */
export async function renderAloneMan(program: Program, alone: Alone, more: readonly string[] = []): Promise<string> {
  const records = await Promise.all(Object.values(commandsOf(program)).map((load) => load()));
  const [usual, ...others] = alone.forms;
  const { description = [], examples = [], statuses = [] } = usual;
  const lines = [
    `.\\" Generated from the command records; do not edit.`,
    titleLine(program.name),
    '.SH NAME',
    `${roff(program.name)} \\- ${roff(usual.summary)}`,
    '.SH SYNOPSIS',
    `.B ${roff(program.name)}`,
    argumentsLine(usual),
    '.SH DESCRIPTION',
    ...description.flatMap((text, index) => [...(index === 0 ? [] : ['.PP']), ...paragraph(text)]),
    '.SH OPTIONS',
    ...optionLines(usual),
    ...more,
    ...(others.length === 0 ? [] : ['.SH OTHER FORMS']),
    ...others.flatMap((record) => commandLines(program.name, record, program.name)),
    '.SH SUBCOMMANDS',
    ...records.flatMap((record) => commandLines(program.name, record)),
    '.SH EXAMPLES',
    ...exampleLines(examples),
    '.SH EXIT STATUS',
    ...statuses.flatMap(([status, text]) => entry(String(status), roff(text))),
  ];
  return `${lines.join('\n')}\n`;
}

/** The title of the page of a program. */
function titleLine(program: string): string {
  return `.TH ${roff(program).toUpperCase()} 1 "${VERSION_DATE}" "blockyard ${VERSION}" "User Commands"`;
}

/** The section of one subcommand, or of a form that is called by other words. */
function commandLines(program: string, record: AnyCommand, calledAs = `${program} ${record.name}`): string[] {
  return [
    `.SS ${roff(record.name)}`,
    `.B ${roff(calledAs)}`,
    argumentsLine(record),
    '.PP',
    `${protect(roff(record.summary))}.`,
    ...(record.description ?? []).flatMap((text) => ['.PP', ...paragraph(text)]),
    ...optionLines(record),
    ...(record.statuses ?? []).flatMap(([status, text]) => entry(`Exit status ${status}`, roff(text))),
    ...exampleLines(record.examples ?? []),
  ];
}

function argumentsLine(record: AnyCommand): string {
  return ['[\\fIOPTIONS\\fR]', ...Object.values(record.arguments).map(argumentText)].join(' ');
}

/** Arguments and options with their help. */
function optionLines(record: AnyCommand): string[] {
  return [
    ...Object.values(record.arguments).flatMap((spec) => entry(`\\fI${roff(spec.name)}\\fR`, roff(spec.help))),
    ...Object.values(record.options).flatMap((spec) => (spec.hidden ? [] : entry(optionText(spec), optionHelp(spec)))),
  ];
}

function exampleLines(examples: NonNullable<AnyCommand['examples']>): string[] {
  return examples.flatMap(([line, what]) => entry(`\\fB${roff(line)}\\fR`, roff(what)));
}

function argumentText(spec: ArgumentSpec): string {
  const text = `\\fI${roff(spec.name)}\\fR${spec.repeat ? ' ...' : ''}`;
  return spec.optional ? `[${text}]` : text;
}

/** Names of an option and what its value is called, the term of an {@link entry}. */
function optionText(spec: OptionSpec): string {
  const value = spec.value === undefined ? undefined : `\\fI${roff(spec.value)}\\fR`;
  const names: string[] = [];
  if (spec.short !== undefined) {
    const attached = value === undefined || spec.bare !== undefined ? '' : ` ${value}`;
    names.push(`\\fB\\-${roff(spec.short)}\\fR${attached}`);
  }
  if (spec.long !== undefined) {
    const attached = value === undefined ? '' : spec.bare === undefined ? `=${value}` : `[=${value}]`;
    names.push(`\\fB\\-\\-${roff(spec.long)}\\fR${attached}`);
  }
  return names.join(', ');
}

/** What an option is for, the text of an {@link entry}. */
function optionHelp(spec: OptionSpec): string {
  const notes: string[] = [];
  if (spec.repeat) notes.push('may be repeated');
  if (spec.default !== undefined && spec.default !== '') notes.push(`default ${spec.default}`);
  return roff(notes.length === 0 ? spec.help : `${spec.help} (${notes.join('; ')})`);
}

/** A term and what it means. */
export function entry(term: string, text: string): string[] {
  return ['.TP', protect(term), protect(text)];
}

export function paragraph(text: string): string[] {
  return text.split('\n').map((line) => protect(roff(line)));
}

/** Text in which nothing is a command of roff, and dashes stay dashes. */
export function roff(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...');
}

/** A line of text that begins with a dot or a quote would be a command. */
function protect(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}
