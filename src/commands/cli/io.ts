/** What a command may touch of the process it runs in. Tests hand in their own. */
import { printable } from './output.ts';

export interface Output {
  /** Written before it returns. What a closed pipe no longer takes is dropped. */
  write(text: string | Uint8Array): void;
  readonly isTTY: boolean;
  /** Width of the terminal in characters; 80 where there is none. */
  readonly columns: number;
  /** The reader has gone away: a command that does nothing but print may stop. */
  readonly closed: boolean;
}

export interface Io {
  /** What the program was called as: `img`, or `qemu-img` through a link of that name. */
  readonly programName: string;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where requests are to be recorded (`--trace`), for programs that take it before their commands. */
  readonly traceFile?: string | undefined;
  /** Aborted on the first SIGINT, SIGTERM or SIGHUP; the command cleans up and ends. */
  readonly signal: AbortSignal;
  /** Have `listener` called on SIGUSR1 (and SIGINFO where there is one); returns how to stop that. */
  onUsr1(listener: () => void): () => void;
}

/** Where a graph's lines for the user go: warnings under the program's name, others as they stand. */
export function userLines(io: Io): { warn(message: string): void; note(line: string): void } {
  return { warn: (message) => warn(io, message), note: (line) => io.stderr.write(`${line}\n`) };
}

/** A line `PROGRAM: warning: MESSAGE` on stderr. */
export function warn(io: Io, message: string): void {
  io.stderr.write(`${io.programName}: warning: ${printable(message)}\n`);
}
