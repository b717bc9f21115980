/** Running commands one after another: those of a list, or the lines of an input with a prompt before each. */
import { execute } from './execute.ts';
import type { Input } from './input.ts';
import { BadLine, LineSplitter } from './lines.ts';
import type { Shell } from './shell.ts';

/** Run the commands until one of them ends the program. True when all went well. */
export async function runList(shell: Shell, commands: readonly string[]): Promise<boolean> {
  let good = true;
  for (const command of commands) {
    if (shell.ended || shell.io.signal.aborted) break;
    const result = execute(shell, command);
    if (!(result instanceof Promise ? await result : result)) good = false;
    if (shell.io.stdout.isTTY) shell.printer.flush();
  }
  return good;
}

/** Run the lines of `input`. Nothing is awaited for a command that is done at once. */
export async function runScript(shell: Shell, input: Input): Promise<boolean> {
  const lines = new LineSplitter();
  const prompt = `${shell.io.programName}> `;
  let good = true;
  let more = true;
  while (!shell.ended && !shell.io.signal.aborted) {
    shell.print(prompt);
    if (shell.inFlight.active) await shell.inFlight.breathe();
    let line = lines.next();
    while (line === undefined && more) {
      more = await feed(shell, lines, input);
      line = lines.next();
    }
    if (line === undefined) break;
    if (line instanceof BadLine) {
      shell.printer.error(`${shell.io.programName}: ${line.reason}`);
      good = false;
      continue;
    }
    const result = execute(shell, line);
    if (!(result instanceof Promise ? await result : result)) good = false;
  }
  input.close();
  return good;
}

/** Wait for input; meanwhile, what becomes of requests is printed when they end. False at the end of the input. */
async function feed(shell: Shell, lines: LineSplitter, input: Input): Promise<boolean> {
  const { inFlight, printer } = shell;
  printer.flush();
  inFlight.onEnded = () => {
    inFlight.deliver();
    printer.flush();
  };
  const piece = await input.more();
  inFlight.onEnded = undefined;
  if (piece === undefined) lines.end();
  else lines.push(piece);
  return piece !== undefined;
}
