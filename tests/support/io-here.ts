/** `io` within this process: the same records and the same block layer, without a new Node for every run. */
import { run } from '../../src/commands/io/main.ts';
import { fakeIo } from '../commands/cli/fake-io.ts';

export interface IoResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run `commands`, one -c each, on what `args` name. */
export async function ioHere(commands: readonly string[], args: readonly string[]): Promise<IoResult> {
  const io = fakeIo({ programName: 'io' });
  const code = await run([...commands.flatMap((command) => ['-c', command]), ...args], io);
  return { code, stdout: io.out(), stderr: io.err() };
}
