/** `img` within the test's own process: the same records and parsing, without starting a program each time. */
import type { Io, Output } from '../../src/commands/cli/io.ts';
import { run } from '../../src/commands/cli/main.ts';
import { img } from '../../src/commands/img/main.ts';

export interface HereResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run `img` here; any exit status is a result. */
export async function imgHere(args: readonly string[], signal?: AbortSignal): Promise<HereResult> {
  const stdout = new Collected();
  const stderr = new Collected();
  const io: Io = {
    programName: 'img',
    stdout,
    stderr,
    env: {},
    signal: signal ?? new AbortController().signal,
    onUsr1: () => () => undefined,
  };
  const code = await run(img, args, io);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** Run `img` here, which must end with status 0; returns its standard output. */
export async function imgHereOutput(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await imgHere(args);
  if (code !== 0) throw new Error(`img ${args.join(' ')} ended with status ${code}: ${stderr}${stdout}`);
  return stdout;
}

class Collected implements Output {
  readonly isTTY = false;
  readonly columns = 80;
  readonly closed = false;
  readonly #pieces: Uint8Array[] = [];

  write(text: string | Uint8Array): void {
    this.#pieces.push(typeof text === 'string' ? Buffer.from(text) : Buffer.from(text));
  }

  get text(): string {
    return Buffer.concat(this.#pieces).toString();
  }
}
