/** Commands about the program itself. */
import { constants } from 'node:os';
import { sleep as pause } from '../../../core/async/sleep.ts';
import { parseInteger } from '../numbers.ts';
import { bytesWord } from '../request.ts';
import type { Shell } from '../shell.ts';
import type { ShellCommand } from '../shell-command.ts';
import { shortened } from '../text.ts';

/** The highest signal number of the system, and one. */
const SIGNALS = 65;

export const abort: ShellCommand = {
  name: 'abort',
  summary: 'ends the program as a crash would',
  words: [0, 0],
  global: true,
  async run(shell) {
    await raise(shell, constants.signals.SIGABRT);
    return true;
  },
};

export const sigraise: ShellCommand = {
  name: 'sigraise',
  usage: 'signal',
  summary: 'sends a signal to the program',
  help: ["'sigraise 15' sends SIGTERM."],
  words: [1, 1],
  global: true,
  async run(shell, { operands }) {
    const [word = ''] = operands;
    const signal = bytesWord(shell, word);
    if (signal === undefined) return false;
    if (signal > SIGNALS) return shell.fail(`signal argument '${word}' is too large to be a valid signal`);
    await raise(shell, signal);
    return true;
  },
};

/** The signal has its usual effect, also where the program would have cleaned up first. */
async function raise(shell: Shell, signal: number): Promise<void> {
  if (signal === 0 || signal === SIGNALS) return;
  shell.printer.flush();
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  if (name !== undefined) process.removeAllListeners(name);
  process.kill(process.pid, signal);
  // It need not be this thread that the signal reaches first.
  await pause(1);
}

export const sleep: ShellCommand = {
  name: 'sleep',
  summary: 'waits for a number of milliseconds',
  words: [1, 1],
  global: true,
  async run(shell, { operands }) {
    const [word = ''] = operands;
    const milliseconds = parseInteger(word);
    if (milliseconds === undefined || milliseconds < 0) return shell.fail(`${shortened(word)} is not a valid number`);
    shell.printer.flush();
    await pause(milliseconds, shell.io.signal);
    shell.io.signal.throwIfAborted();
    shell.inFlight.deliver();
    return true;
  },
};

export const quit: ShellCommand = {
  name: 'quit',
  alias: 'q',
  summary: 'ends the program',
  words: [0],
  global: true,
  run(shell) {
    shell.ended = true;
    return true;
  },
};
