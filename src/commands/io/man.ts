/** The man page of `io`, from the record of its command line and those of its commands. */

import { commandsOf } from '../cli/main.ts';
import { entry, optionHelp, optionText, paragraph, commandLines as recordLines, roff, titleLine } from '../cli/man.ts';
import type { OptionSpec } from '../cli/record.ts';
import { commandLine } from './command-line.ts';
import { shellCommands } from './commands/index.ts';
import { ioProgram } from './main.ts';
import type { ShellCommand } from './shell-command.ts';

/** The page `IO(1)` in roff's `man` macros; the same records give the same text. */
export async function renderIoMan(): Promise<string> {
  const records = await Promise.all(Object.values(commandsOf(ioProgram)).map((load) => load()));
  const { summary, description, arguments: operands, options, examples = [] } = commandLine;
  const all: readonly OptionSpec[] = Object.values(options);
  const lines = [
    `.\\" Generated from the command records; do not edit.`,
    titleLine('io'),
    '.SH NAME',
    `io \\- ${roff(summary)}`,
    '.SH SYNOPSIS',
    '.B io',
    `[\\fIOPTIONS\\fR] [\\fI${roff(operands.file.name)}\\fR]`,
    '.SH DESCRIPTION',
    ...(description ?? []).flatMap((text, index) => [...(index === 0 ? [] : ['.PP']), ...paragraph(text)]),
    '.SH OPTIONS',
    ...entry(`\\fI${roff(operands.file.name)}\\fR`, roff(operands.file.help)),
    ...all.flatMap((spec) => entry(optionText(spec), optionHelp(spec))),
    '.SH COMMANDS',
    ...paragraph('Offsets and lengths are bytes, or take a suffix: k, M, G, T, P and E are powers of 1024.'),
    ...shellCommands.flatMap(commandLines),
    '.SH SUBCOMMANDS',
    ...records.flatMap((record) => recordLines('io', record)),
    '.SH EXAMPLES',
    ...examples.flatMap(([line, what]) => entry(`\\fB${roff(line)}\\fR`, roff(what))),
    '.SH EXIT STATUS',
    ...paragraph('0 on success, 1 when the image could not be opened or a command failed, 130 after an interrupt.'),
  ];
  return `${lines.join('\n')}\n`;
}

function commandLines({ name, alias, usage, summary, help = [], flags = {} }: ShellCommand): string[] {
  const also = alias === undefined ? '' : ` The shorter name is ${alias}.`;
  return [
    `.SS ${roff(name)}`,
    `.B ${roff(name)}`,
    ...(usage ? [roff(usage)] : []),
    '.PP',
    ...paragraph(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.${also}`),
    ...help.flatMap((text) => ['.PP', ...paragraph(text)]),
    ...Object.entries(flags).flatMap(([flag, spec]) =>
      entry(
        `\\fB\\-${roff(flag)}\\fR${spec.value === undefined ? '' : ` \\fI${roff(spec.value)}\\fR`}`,
        roff(spec.help),
      ),
    ),
  ];
}
