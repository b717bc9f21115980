/** `discard` and `flush`. */
import { Perm } from '../../../core/block/permissions-bits.ts';
import type { FlagSpecs } from '../flags.ts';
import { labelFlag, labelled } from '../labels.ts';
import { bytesWord, lengthWord, perform, printTransfer } from '../request.ts';
import type { ShellCommand } from '../shell-command.ts';

export const discardFlags = {
  C: { help: 'Print the result for a program: bytes,ops,time,bytes/s,ops/s' },
  ...labelFlag,
  q: { help: 'Print errors only' },
} as const satisfies FlagSpecs;

export const discard: ShellCommand = {
  name: 'discard',
  alias: 'd',
  usage: '[-Cq] off len',
  summary: 'tells that a range of bytes is no longer needed',
  help: ["'discard 512 1k' discards one kilobyte from offset 512 on."],
  flags: discardFlags,
  words: [2],
  operands: [2, 2],
  permission: Perm.WRITE,
  run(shell, words) {
    const offset = bytesWord(shell, words.operands[0]);
    const length = offset === undefined ? undefined : lengthWord(shell, words.operands[1]);
    if (offset === undefined || length === undefined) return false;
    return perform(
      shell,
      labelled(shell, words, { kind: 'discard', offset, length }, () => shell.backend.discard(offset, length)),
      ({ seconds, error }) => {
        if (error !== undefined) return shell.failed('discard failed', error);
        printTransfer(shell, words, { verb: 'discard', offset, length, seconds });
        return true;
      },
    );
  },
};

export const flush: ShellCommand = {
  name: 'flush',
  alias: 'f',
  summary: 'makes everything that was written stable',
  flags: labelFlag,
  words: [0],
  operands: [0, 0],
  run(shell, words) {
    return perform(
      shell,
      labelled(shell, words, { kind: 'flush' }, () => shell.backend.flush()),
      ({ error }) => error === undefined || shell.failed('flush failed', error),
    );
  },
};
