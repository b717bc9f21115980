/** Commands typed at a terminal: editing, history and completion are those of node:readline. */
import readline from 'node:readline';
import { execute } from './execute.ts';
import type { Shell } from './shell.ts';

const HISTORY = 1000;

/** Read and run commands until the user ends it. True when all went well. */
export async function runPrompt(shell: Shell): Promise<boolean> {
  const { stdin } = process;
  const editor = readline.createInterface({
    input: stdin,
    output: process.stdout,
    prompt: `${shell.io.programName}> `,
    historySize: HISTORY,
    removeHistoryDuplicates: true,
    completer: (text: string) => complete(shell, text),
  });
  const typed = new TypedLines(editor);
  const { inFlight, printer } = shell;
  let good = true;
  try {
    while (!shell.ended && !shell.io.signal.aborted) {
      printer.flush();
      inFlight.onEnded = () => {
        readline.clearLine(process.stdout, 0);
        readline.cursorTo(process.stdout, 0);
        inFlight.deliver();
        printer.flush();
        editor.prompt(true);
      };
      const line = await typed.next();
      inFlight.onEnded = undefined;
      if (line === undefined) break;
      // While a command runs, Ctrl-C is a signal and not a key.
      stdin.setRawMode(false);
      if (!(await execute(shell, line))) good = false;
      if (inFlight.active) await inFlight.breathe();
      stdin.setRawMode(true);
    }
  } finally {
    inFlight.onEnded = undefined;
    editor.close();
  }
  return good;
}

/** Lines as they are asked for; what is pasted in one go waits its turn. */
class TypedLines {
  readonly #editor: readline.Interface;
  readonly #lines: string[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(editor: readline.Interface) {
    this.#editor = editor;
    editor.on('line', (line) => {
      this.#lines.push(line);
      this.#wake?.();
    });
    editor.on('close', () => {
      if (!this.#ended) process.stdout.write('\n');
      this.#ended = true;
      this.#wake?.();
    });
    // Ctrl-C throws away what was typed; with nothing typed it ends the program.
    editor.on('SIGINT', () => {
      if (editor.line === '') editor.close();
      else {
        process.stdout.write('^C\n');
        editor.write(null, { ctrl: true, name: 'u' });
        editor.prompt();
      }
    });
  }

  async next(): Promise<string | undefined> {
    if (this.#lines.length === 0 && !this.#ended) {
      this.#editor.prompt();
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
      this.#wake = undefined;
    }
    return this.#lines.shift();
  }
}

/** The first word is a command; behind it come its flags, and names of commands behind `help`. */
export function complete(shell: Shell, text: string): [string[], string] {
  const { commands } = shell.settings;
  const words = text.split(' ').filter((word, index, all) => word !== '' || index === all.length - 1);
  const last = words.at(-1) ?? '';
  const [first = ''] = words;
  const names = [...new Set(commands.values())].map((command) => command.name);
  const command = commands.get(first);
  let choices: string[] = [];
  if (words.length <= 1 || command?.name === 'help') choices = names;
  else if (last.startsWith('-')) choices = Object.keys(command?.flags ?? {}).map((flag) => `-${flag}`);
  return [choices.filter((choice) => choice.startsWith(last)).map((choice) => `${choice} `), last];
}
