/** Requests by name, as `-L` gives them: holding, releasing, failing and waiting for exactly one. */
import type { HoldPoint, LabelCapability } from '../../../core/block/fault-control.ts';
import { BlockError, Usage } from '../../../core/errors/block-error.ts';
import { errnoCode } from '../../../core/host/errno.ts';
import { waitWhileHopeful } from '../hopeful.ts';
import { labelsOf } from '../labels.ts';
import type { ShellCommand } from '../shell-command.ts';
import { shortened } from '../text.ts';

const holdPoints: readonly HoldPoint[] = ['arrival', 'completion'];
const stages = ['arrived', 'held', 'done'] as const;

/** One of the words that are allowed; throws Usage for another. */
function oneOf<T extends string>(words: readonly T[], word: string): T {
  const found = words.find((each) => each === word);
  if (found === undefined) throw new Usage(`'${shortened(word)}' is none of ${words.join(', ')}`);
  return found;
}

export const hold: ShellCommand = {
  name: 'hold',
  usage: 'name [arrival|completion]',
  summary: 'holds the request called name, before or after it is carried out',
  help: [
    "Before the request is issued: 'hold A', then 'aio_write -L A 0 4k'. On arrival nothing of it has happened; on completion everything has, and nobody has been told.",
  ],
  words: [1, 2],
  run(shell, { operands: [name = '', point = 'arrival'] }) {
    labelsOf(shell).hold(name, oneOf(holdPoints, point));
    return true;
  },
};

export const release: ShellCommand = {
  name: 'release',
  usage: 'name',
  summary: 'lets the request called name go on',
  words: [1, 1],
  run(shell, { operands: [name = ''] }) {
    labelsOf(shell).release(name);
    return shell.inTurn(() => true);
  },
};

export const fail: ShellCommand = {
  name: 'fail',
  usage: 'name errno',
  summary: 'ends the request called name with an error',
  help: ["The error is a number or a name: 'fail A ENOSPC'. A request that is held ends at once."],
  words: [2, 2],
  run(shell, { operands: [name = '', errno = ''] }) {
    const code = errnoCode(errno);
    if (code === undefined) throw new Usage(`'${shortened(errno)}' is not an error that a request can fail with`);
    labelsOf(shell).fail(name, code);
    return shell.inTurn(() => true);
  },
};

export const waitLabel: ShellCommand = {
  name: 'wait_label',
  usage: 'name [arrived|held|done]',
  summary: 'waits until the request called name has come, is held, or has completed',
  words: [1, 2],
  async run(shell, { operands: [name = '', word = 'arrived'] }) {
    const labels = labelsOf(shell);
    const until = oneOf(stages, word);
    shell.printer.flush();
    await waitWhileHopeful(shell, reached(labels, name, until));
    shell.inFlight.deliver();
    const state = labels.state(name);
    if (state === 'held' ? until !== 'done' : state === 'done' || (state === 'running' && until === 'arrived')) {
      return shell.inTurn(() => true);
    }
    const why = state === 'held' ? 'held' : `${state ?? 'gone'}, and nothing is under way`;
    throw new BlockError(`waiting for label '${name}' would never end: it is ${why}`);
  },
};

/**
 * Also ends when the request is held, for no command could release it while another waits; and for 'held' when it
 * has completed, for then it never will be.
 */
function reached(labels: LabelCapability, name: string, until: (typeof stages)[number]): Promise<void> {
  if (labels.state(name) === 'held') return Promise.resolve();
  let unlisten: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    unlisten = labels.listen((what, who) => {
      if (what === 'held' && who === name) resolve();
    });
  });
  return Promise.race([held, labels.wait(name, until === 'held' ? 'done' : until)]).finally(unlisten);
}

export const labels: ShellCommand = {
  name: 'labels',
  summary: 'shows the names of requests, and how far each has come',
  help: [
    'A label is expected (spoken of, no request yet), armed (the next request that fits gets it), held, running or done.',
  ],
  words: [0, 0],
  run(shell) {
    const lines = labelsOf(shell)
      .list()
      .map(({ name, state }) => `${name}: ${state}\n`);
    return shell.inTurn(() => {
      shell.print(lines.join(''));
      return true;
    });
  },
};
