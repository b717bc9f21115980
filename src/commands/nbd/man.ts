/** The man page of `nbd`, from the records of its two command lines. */
import { entry, optionHelp, optionText, paragraph, roff } from '../cli/man.ts';
import type { AnyCommand, OptionSpec } from '../cli/record.ts';
import { VERSION } from '../cli/version.ts';
import { commandLine } from './command-line.ts';
import { daemonCommand } from './daemon-options.ts';

/** The page `NBD(1)` in roff's `man` macros; the same record gives the same text. */
export function renderNbdMan(): string {
  const { summary, description, arguments: operands, options, examples = [], statuses = [] } = commandLine;
  const all: readonly OptionSpec[] = Object.values(options);
  const lines = [
    `.\\" Generated from the command records; do not edit.`,
    `.TH NBD 1 "" "blockyard ${VERSION}" "User Commands"`,
    '.SH NAME',
    `nbd \\- ${roff(summary)}`,
    '.SH SYNOPSIS',
    '.B nbd',
    `[\\fIOPTIONS\\fR] [\\fI${roff(operands.file.name)}\\fR]`,
    '.PP',
    '.B nbd',
    '[\\fIDAEMON OPTIONS\\fR]',
    '.SH DESCRIPTION',
    ...(description ?? []).flatMap((text) => ['.PP', ...paragraph(text)]),
    '.SH OPTIONS',
    ...entry(`\\fI${roff(operands.file.name)}\\fR`, roff(operands.file.help)),
    ...all.flatMap((spec) => (spec.hidden ? [] : entry(optionText(spec), optionHelp(spec)))),
    ...daemonLines(daemonCommand),
    '.SH EXAMPLES',
    ...examples.flatMap(([line, what]) => entry(`\\fB${roff(line)}\\fR`, roff(what))),
    '.SH EXIT STATUS',
    ...statuses.flatMap(([status, text]) => entry(String(status), roff(text))),
  ];
  return `${lines.join('\n')}\n`;
}

/** The section of the other command line, under which images come and go while the program runs. */
function daemonLines({ summary, description = [], options, examples = [] }: AnyCommand): string[] {
  const all: readonly OptionSpec[] = Object.values(options);
  return [
    '.SH STORAGE DAEMON',
    ...paragraph(`${summary}.`),
    ...description.flatMap((text) => ['.PP', ...paragraph(text)]),
    ...all.flatMap((spec) => (spec.hidden ? [] : entry(optionText(spec), optionHelp(spec)))),
    ...examples.flatMap(([line, what]) => entry(`\\fB${roff(line)}\\fR`, roff(what))),
  ];
}
