/** The man page of `io`, from the record of its command line and those of its commands. */
import { entry, paragraph, renderAloneMan, roff } from '../cli/man.ts';
import { shellCommands } from './commands/index.ts';
import { ioAlone, ioProgram } from './main.ts';
import type { ShellCommand } from './shell-command.ts';

/** Where the same command line or script does something else here, on purpose. */
const DIFFERENCES: readonly string[] = [
  'Commands, flags, output, and what goes to standard error are those of qemu-io, so that scripts written for it run ' +
    'here. Wording of errors and of help is not. Otherwise:',
  'A line of a script may be 1 MiB long. A longer one, or one with a NUL byte in it, is refused as a whole and the next ' +
    'one is run; qemu-io takes it for several commands, or for a shorter one. Lines appear in the order in which they ' +
    'were printed, also where standard output and error go to the same pipe. Words in errors have control characters ' +
    'spelled out, and are cut after 80 characters.',
  "'flush' says why it failed. 'truncate' refuses words behind the size. 'readv', 'writev' and 'aio_write' take more " +
    "than 1024 buffers. 'write -c' also replaces what is stored already. Hexadecimal numbers take suffixes. The time of " +
    "'aio_write -z' is that of the request.",
  "'reopen' can change read-only also by -o, and options of the file below. 'remove_break' succeeds where it resumes a " +
    "request. A 'wait_break' that could never end fails, and whatever is held is let go at the end; qemu-io waits for ever.",
  'Requests are carried out by threads only: native and io_uring are accepted as words, and refused when the image is ' +
    'opened. No device has zones, so the zone commands fail. There are no trace events; --trace FILE records requests.',
  'Labels (-L, hold, release, fail, wait_label, labels) and replay are not in qemu-io.',
];

/** The page `IO(1)` in roff's `man` macros; the same records give the same text. */
export function renderIoMan(): Promise<string> {
  return renderAloneMan(ioProgram, ioAlone, [
    '.SH COMMANDS',
    ...paragraph('Offsets and lengths are bytes, or take a suffix: k, M, G, T, P and E are powers of 1024.'),
    ...shellCommands.flatMap(commandLines),
    '.SH DIFFERENCES FROM QEMU-IO',
    ...DIFFERENCES.flatMap((text, index) => [...(index === 0 ? [] : ['.PP']), ...paragraph(text)]),
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
