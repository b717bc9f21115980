/**
 * The program `io`: reads, writes and inspects an image by commands, typed or scripted.
 *
 * What belongs here: the shell that takes lines apart and runs them, and one record per command (`commands/`)
 * from which its checks, usage and help are made. What does not: anything that decides how a request is
 * carried out (`core/block`), and faults and breakpoints themselves (drivers).
 */
import type { Io } from '../cli/io.ts';
import { runParsed } from '../cli/main.ts';
import { parseArguments } from '../cli/parse-arguments.ts';
import { processIo } from '../cli/process-io.ts';
import type { AnyCommand } from '../cli/record.ts';
import { report } from '../cli/report.ts';
import { commandLine } from './command-line.ts';

/** Subcommands beside the shell; each is loaded when its name is the first word. */
export const subcommands: Readonly<Record<string, () => Promise<AnyCommand>>> = {
  replay: async () => (await import('./replay.ts')).replay,
};

/** Run the program; `programName` is what it was called as. Returns the exit status. */
export async function main(argv: readonly string[], programName: string): Promise<number> {
  const io = processIo(programName.replace(/\.c?js$/, ''));
  try {
    const status = await run(argv, io);
    return io.signalStatus ?? status;
  } finally {
    io.end();
  }
}

/** {@link main} on any {@link Io}; standard input is that of the process. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  try {
    const [first = ''] = argv;
    const load = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
    const record: AnyCommand = load ? await load() : commandLine;
    return await runParsed(record, parseArguments(record, load ? argv.slice(1) : argv), io);
  } catch (error) {
    return report(error, io);
  }
}
