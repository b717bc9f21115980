/**
 * The program `io`: reads, writes and inspects an image by commands, typed or scripted.
 *
 * What belongs here: the shell that takes lines apart and runs them, and one record per command (`commands/`)
 * from which its checks, usage and help are made. What does not: anything that decides how a request is
 * carried out (`core/block`), and faults and breakpoints themselves (drivers).
 */
import type { Io } from '../cli/io.ts';
import { type Alone, type Program, run as runOn, runProgram } from '../cli/main.ts';
import { commandLine } from './command-line.ts';

/** What it does by itself. */
export const ioAlone: Alone = { forms: [commandLine], pick: () => commandLine };

/** Its subcommands stand beside the shell, which is what it does by itself. */
export const ioProgram: Program = {
  name: 'io',
  summary: commandLine.summary,
  commands: { replay: async () => (await import('./replay.ts')).replay },
  alone: ioAlone,
  topic: async (name) => (await import('./topic.ts')).shellTopic(name),
};

/** Run the program; `programName` is what it was called as. Returns the exit status. */
export function main(argv: readonly string[], programName: string): Promise<number> {
  return runProgram(ioProgram, argv, programName);
}

/** {@link main} on any {@link Io}; standard input is that of the process. */
export function run(argv: readonly string[], io: Io): Promise<number> {
  return runOn(ioProgram, argv, io);
}

/** For the end of the process, when all is done. */
export { leave } from '../../core/host/index.ts';
