/** Requests that go on while further commands run: what became of them is printed when they end. */
import { Perm } from '../../../core/block/permissions-bits.ts';
import type { FlagSpecs } from '../flags.ts';
import { labelled } from '../labels.ts';
import { DEFAULT_PATTERN, patternWord, verify } from '../pattern.ts';
import { assertInside, bytesWord, lengthWord, lengthWords, printTransfer } from '../request.ts';
import type { ShellCommand } from '../shell-command.ts';
import { splitBuffer } from '../vectors.ts';
import { discardFlags } from './discard.ts';
import { readFlags, showRead } from './read.ts';
import { writeFlags, writeRequestFlags } from './write.ts';

const LATER =
  "The command succeeds once the request is issued; what becomes of it is printed when it ends, which 'aio_flush' waits for.";

const injected: FlagSpecs = { i: { help: 'Issue nothing: count a request that was refused' } };

export const aioRead: ShellCommand = {
  name: 'aio_read',
  usage: '[-Ciqv] [-P pattern] off len [len..]',
  summary: 'begins to read a range of bytes',
  help: ["'aio_read -v 512 1k 1k' shows two kilobytes from offset 512 on.", LATER],
  flags: { ...readFlags, ...injected },
  words: [2],
  operands: [2],
  run(shell, words) {
    const { flags, operands } = words;
    const check = flags.has('P') ? patternWord(shell, flags.get('P') ?? '') : -1;
    if (check === undefined) return false;
    if (flags.has('i')) {
      shell.print('injecting invalid read request\n');
      return true;
    }
    const offset = bytesWord(shell, operands[0]);
    const lengths = offset === undefined ? undefined : lengthWords(shell, operands.slice(1));
    if (offset === undefined || lengths === undefined) return false;
    const length = lengths.reduce((sum, each) => sum + each, 0);
    let data = shell.buffers.lasting(0);
    const { backend } = shell;
    const issue = () => {
      assertInside(shell, offset, length);
      data = shell.buffers.lasting(length);
      return backend.readv(offset, splitBuffer(data, lengths));
    };
    const named = labelled(shell, words, { kind: 'read', offset, length }, issue);
    shell.inFlight.start(named, ({ seconds, error }) => {
      if (error !== undefined) {
        shell.failed('readv failed', error);
        return;
      }
      if (check >= 0) verify(shell, data, offset, check);
      showRead(shell, words, offset, data, seconds);
    });
    return true;
  },
};

export const aioWrite: ShellCommand = {
  name: 'aio_write',
  usage: '[-Cfiquz] [-P pattern] off len [len..]',
  summary: 'begins to write a range of bytes',
  help: ["'aio_write 512 1k 1k' writes two kilobytes from offset 512 on.", LATER],
  flags: {
    ...writeFlags,
    ...injected,
    u: { help: 'With -z: space may be given back' },
    z: { help: 'Make the range read as zeroes; takes a single length' },
  },
  words: [2],
  operands: [2],
  permission: Perm.WRITE,
  run(shell, words) {
    const { flags, operands } = words;
    const pattern = flags.has('P') ? patternWord(shell, flags.get('P') ?? '') : DEFAULT_PATTERN;
    if (pattern === undefined) return false;
    if (flags.has('i')) {
      shell.print('injecting invalid write request\n');
      return true;
    }
    if (flags.has('u') && !flags.has('z')) return shell.fail('-u requires -z to be specified');
    if (flags.has('r') && flags.has('z')) return shell.fail('-r and -z cannot be specified at the same time');
    if (flags.has('z') && operands.length !== 2) return shell.fail('-z supports only a single length parameter');
    const offset = bytesWord(shell, operands[0]);
    const lengths = offset === undefined ? undefined : lengthWords(shell, operands.slice(1));
    if (offset === undefined || lengths === undefined) return false;
    const length = lengths.reduce((sum, each) => sum + each, 0);
    const requestFlags = writeRequestFlags(flags);
    const { backend } = shell;
    const issue = () => {
      assertInside(shell, offset, length);
      if (flags.has('z')) return backend.zero(offset, length, requestFlags);
      const data = shell.buffers.lasting(length).fill(pattern);
      return backend.writev(offset, splitBuffer(data, lengths), requestFlags);
    };
    const kind = flags.has('z') ? 'write-zeroes' : 'write';
    const named = labelled(shell, words, { kind, offset, length }, issue);
    shell.inFlight.start(named, ({ seconds, error }) => {
      if (error !== undefined) shell.failed('aio_write failed', error);
      else printTransfer(shell, words, { verb: 'wrote', offset, length, seconds });
    });
    return true;
  },
};

export const aioDiscard: ShellCommand = {
  name: 'aio_discard',
  usage: '[-Cq] off len',
  summary: 'begins to discard a range of bytes',
  help: [LATER],
  flags: discardFlags,
  words: [2],
  operands: [2, 2],
  permission: Perm.WRITE,
  run(shell, words) {
    const offset = bytesWord(shell, words.operands[0]);
    const length = offset === undefined ? undefined : lengthWord(shell, words.operands[1]);
    if (offset === undefined || length === undefined) return false;
    const { backend } = shell;
    shell.inFlight.start(
      labelled(shell, words, { kind: 'discard', offset, length }, () => backend.discard(offset, length)),
      ({ seconds, error }) => {
        if (error !== undefined) shell.failed('aio_discard failed', error);
        // The second blank is what scripts have always read.
        else printTransfer(shell, words, { verb: 'discarded ', offset, length, seconds });
      },
    );
    return true;
  },
};

export const aioFlush: ShellCommand = {
  name: 'aio_flush',
  summary: 'waits for all requests that were begun',
  words: [0, 0],
  async run(shell) {
    await shell.inFlight.settle();
    return true;
  },
};
