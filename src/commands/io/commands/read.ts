/** `read` and `readv`. */
import type { Maybe } from '../../../core/async/maybe.ts';
import { NotSupported } from '../../../core/errors/block-error.ts';
import { findBelow } from '../capability.ts';
import type { FlagSpecs, Words } from '../flags.ts';
import { labelFlag, labelled } from '../labels.ts';
import { patternWord, verify } from '../pattern.ts';
import { assertInside, bytesWord, inSectors, lengthWord, lengthWords, perform, printTransfer } from '../request.ts';
import type { Shell } from '../shell.ts';
import type { ShellCommand } from '../shell-command.ts';
import { hexDump } from '../text.ts';
import { splitBuffer } from '../vectors.ts';

export const readFlags = {
  C: { help: 'Print the result for a program: bytes,ops,time,bytes/s,ops/s' },
  P: { value: 'pattern', help: 'Fail unless every byte is this one (0 to 255)' },
  ...labelFlag,
  q: { help: 'Print errors only' },
  r: { help: 'Means nothing: no buffer needs to be registered' },
  v: { help: 'Show what was read, in hexadecimal' },
} as const satisfies FlagSpecs;

const VERB = 'read';

export const read: ShellCommand = {
  name: 'read',
  alias: 'r',
  usage: '[-bCqv] [-P pattern [-s off] [-l len]] off len',
  summary: 'reads a range of bytes',
  help: ["'read -v 512 1k' shows one kilobyte from offset 512 on."],
  flags: {
    ...readFlags,
    b: { help: 'Read saved machine state instead of the disk, in whole sectors' },
    l: { value: 'len', help: 'With -P: how many bytes to look at' },
    p: { help: 'Means nothing' },
    s: { value: 'off', help: 'With -P: how many bytes to leave out at the start' },
  },
  words: [2],
  operands: [2, 2],
  run(shell, words) {
    const { flags, operands } = words;
    if (flags.size === 0) return readPlain(shell, words);
    const check = flags.has('P') ? patternWord(shell, flags.get('P') ?? '') : -1;
    const from = flags.has('s') ? bytesWord(shell, flags.get('s')) : 0;
    const count = flags.has('l') ? bytesWord(shell, flags.get('l')) : undefined;
    if (check === undefined || from === undefined || (flags.has('l') && count === undefined)) return false;
    const offset = bytesWord(shell, operands[0]);
    const length = offset === undefined ? undefined : lengthWord(shell, operands[1]);
    if (offset === undefined || length === undefined) return false;
    if (check < 0 && (flags.has('l') || flags.has('s'))) return shell.usage(read);
    const checked = count ?? length - from;
    if (checked < 0 || from + checked > length) {
      return shell.fail('pattern verification range exceeds end of read data');
    }
    if (flags.has('b') && !inSectors(shell, offset, length)) return false;
    let data: Buffer = EMPTY;
    const issue = (): Maybe<void> => {
      if (!flags.has('b')) assertInside(shell, offset, length);
      data = shell.buffers.brief(length);
      return flags.has('b') ? readVmState(shell, offset, data) : shell.backend.read(offset, data);
    };
    const named = labelled(shell, words, { kind: 'read', offset, length }, issue);
    return perform(shell, named, ({ seconds, error }) => {
      if (error !== undefined) return shell.failed('read failed', error);
      const good = check < 0 || verify(shell, data.subarray(from, from + checked), offset + from, check);
      showRead(shell, words, offset, data, seconds);
      return good;
    });
  },
};

const EMPTY = Buffer.alloc(0);

/** Without any flag: what scripts do by the million. */
function readPlain(shell: Shell, words: Words): Maybe<boolean> {
  const offset = bytesWord(shell, words.operands[0]);
  const length = offset === undefined ? undefined : lengthWord(shell, words.operands[1]);
  if (offset === undefined || length === undefined) return false;
  const issue = (): Maybe<void> => {
    assertInside(shell, offset, length);
    return shell.backend.read(offset, shell.buffers.brief(length));
  };
  return perform(shell, issue, ({ seconds, error }) => {
    if (error !== undefined) return shell.failed('read failed', error);
    printTransfer(shell, words, { verb: VERB, offset, length, seconds });
    return true;
  });
}

function readVmState(shell: Shell, offset: number, data: Buffer): Maybe<void> {
  const state = findBelow(shell.backend.image, (image) => image.vmState);
  if (!state) throw new NotSupported('the image has no place for machine state');
  return state.read(offset, data);
}

/** What `-v` and the lack of `-q` ask for. */
export function showRead(shell: Shell, words: Words, offset: number, data: Buffer, seconds: number): void {
  if (words.flags.has('q')) return;
  if (words.flags.has('v')) hexDump(data, offset, (text) => shell.print(text));
  printTransfer(shell, words, { verb: VERB, offset, length: data.length, seconds });
}

export const readv: ShellCommand = {
  name: 'readv',
  usage: '[-Cqv] [-P pattern] off len [len..]',
  summary: 'reads a range of bytes into several buffers',
  help: ["'readv -v 512 1k 1k' shows two kilobytes from offset 512 on, read by one request with two buffers."],
  flags: readFlags,
  words: [2],
  operands: [2],
  run(shell, words) {
    const { flags, operands } = words;
    const check = flags.has('P') ? patternWord(shell, flags.get('P') ?? '') : -1;
    const offset = check === undefined ? undefined : bytesWord(shell, operands[0]);
    const lengths = offset === undefined ? undefined : lengthWords(shell, operands.slice(1));
    if (check === undefined || offset === undefined || lengths === undefined) return false;
    const length = lengths.reduce((sum, each) => sum + each, 0);
    let data: Buffer = EMPTY;
    const issue = (): Maybe<void> => {
      assertInside(shell, offset, length);
      data = shell.buffers.brief(length);
      return shell.backend.readv(offset, splitBuffer(data, lengths));
    };
    const named = labelled(shell, words, { kind: 'read', offset, length }, issue);
    return perform(shell, named, ({ seconds, error }) => {
      if (error !== undefined) return shell.failed('readv failed', error);
      const good = check < 0 || verify(shell, data, offset, check);
      showRead(shell, words, offset, data, seconds);
      return good;
    });
  },
};
