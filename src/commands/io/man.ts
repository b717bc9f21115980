/** The man page of `io`, from the record of its command line and those of its commands. */
import { entry, paragraph, renderAloneMan, roff } from '../cli/man.ts';
import { shellCommands } from './commands/index.ts';
import { ioAlone, ioProgram } from './main.ts';
import type { ShellCommand } from './shell-command.ts';

/** The page `IO(1)` in roff's `man` macros; the same records give the same text. */
export function renderIoMan(): Promise<string> {
  return renderAloneMan(ioProgram, ioAlone, [
    '.SH COMMANDS',
    ...paragraph('Offsets and lengths are bytes, or take a suffix: k, M, G, T, P and E are powers of 1024.'),
    ...shellCommands.flatMap(commandLines),
  ]);
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
