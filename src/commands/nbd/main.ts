/**
 * The program `nbd`: serves disk images over the NBD protocol, and lists what another server has.
 *
 * What belongs here: the command line, where to listen, the life of the process (signals, background, pid file), and
 * telling what happens. What does not: the protocol and the server (`core/nbd`, `core/export`).
 */
import type { Io } from '../cli/io.ts';
import { type Alone, type Program, run as runOn } from '../cli/main.ts';
import { processIo } from '../cli/process-io.ts';
import { commandLine } from './command-line.ts';
import { daemonCommand, isForDaemon } from './daemon-options.ts';

/** It serves, or is the daemon. */
export const nbdAlone: Alone = {
  forms: [commandLine, daemonCommand],
  pick: (argv, programName) => (isForDaemon(argv, programName) ? daemonCommand : commandLine),
};

export const nbdProgram: Program = {
  name: 'nbd',
  summary: commandLine.summary,
  commands: {},
  alone: nbdAlone,
};

/** Run the program; `programName` is what it was called as. Returns the exit status. */
export async function main(argv: readonly string[], programName: string): Promise<number> {
  const io = processIo(programName.replace(/\.c?js$/, ''));
  try {
    // A signal is how a server is told to end: once it has ended well, that is success.
    return await run(argv, io);
  } finally {
    io.end();
  }
}

/** {@link main} on any {@link Io}. */
export function run(argv: readonly string[], io: Io): Promise<number> {
  return runOn(nbdProgram, argv, io);
}
