/** `write` and `writev`. */
import { after, type Maybe } from '../../../core/async/maybe.ts';
import { Flag } from '../../../core/block/driver.ts';
import type { RequestKind } from '../../../core/block/fault-control.ts';
import { Perm } from '../../../core/block/permissions-bits.ts';
import { NotSupported } from '../../../core/errors/block-error.ts';
import { findBelow } from '../capability.ts';
import type { FlagSpecs, Words } from '../flags.ts';
import { labelFlag, labelled } from '../labels.ts';
import { DEFAULT_PATTERN, fillFromFile, patternWord } from '../pattern.ts';
import { assertInside, bytesWord, inSectors, lengthWord, lengthWords, perform, printTransfer } from '../request.ts';
import type { Shell } from '../shell.ts';
import type { ShellCommand } from '../shell-command.ts';
import { splitBuffer } from '../vectors.ts';

export const writeFlags = {
  C: { help: 'Print the result for a program: bytes,ops,time,bytes/s,ops/s' },
  ...labelFlag,
  f: { help: 'Force Unit Access: done only when the data is on stable storage' },
  P: { value: 'pattern', help: 'Write this byte (0 to 255) instead of 0xcd' },
  q: { help: 'Print errors only' },
  r: { help: 'Means nothing: no buffer needs to be registered' },
} as const satisfies FlagSpecs;

const VERB = 'wrote';

export const write: ShellCommand = {
  name: 'write',
  alias: 'w',
  usage: '[-bcCfnquz] [-P pattern | -s source_file] off len',
  summary: 'writes a range of bytes',
  help: ["'write -P 7 512 1k' fills one kilobyte from offset 512 on with bytes of value 7."],
  flags: {
    ...writeFlags,
    b: { help: 'Write saved machine state instead of the disk, in whole sectors' },
    c: { help: 'Store compressed; whole clusters, or the last partial one' },
    n: { help: 'With -z: fail rather than write zeroes as data' },
    p: { help: 'Means nothing' },
    s: { value: 'source_file', help: 'Write the content of this file, over and over' },
    u: { help: 'With -z: space may be given back' },
    z: { help: 'Make the range read as zeroes' },
  },
  words: [2],
  operands: [2, 2],
  permission: Perm.WRITE,
  run(shell, words) {
    const { flags, operands } = words;
    const pattern = flags.has('P') ? patternWord(shell, flags.get('P') ?? '') : DEFAULT_PATTERN;
    const conflict = conflictOf(flags);
    if (pattern === undefined) return false;
    if (conflict !== undefined) return shell.fail(conflict);
    const offset = bytesWord(shell, operands[0]);
    if (offset === undefined) return false;
    const length = flags.has('n') ? bytesWord(shell, operands[1]) : lengthWord(shell, operands[1], ' without -n');
    if (length === undefined) return false;
    if ((flags.has('b') || flags.has('c')) && !inSectors(shell, offset, length)) return false;
    return performWrite(shell, words, { offset, length, pattern });
  },
};

function conflictOf(flags: Words['flags']): string | undefined {
  if (flags.has('b') && flags.has('z')) return '-b and -z cannot be specified at the same time';
  if (flags.has('f') && (flags.has('b') || flags.has('c'))) {
    return '-f and -b or -c cannot be specified at the same time';
  }
  if (flags.has('n') && !flags.has('z')) return '-n requires -z to be specified';
  if (flags.has('u') && !flags.has('z')) return '-u requires -z to be specified';
  if (flags.has('r') && flags.has('z')) return '-r and -z cannot be specified at the same time';
  if (['z', 'P', 's'].filter((flag) => flags.has(flag)).length > 1) {
    return 'Only one of -z, -P, and -s can be specified at the same time';
  }
  return undefined;
}

interface Target {
  readonly offset: number;
  readonly length: number;
  readonly pattern: number;
}

function performWrite(shell: Shell, words: Words, { offset, length, pattern }: Target): Maybe<boolean> {
  const { flags } = words;
  const { backend } = shell;
  const print = ({ seconds, error }: { seconds: number; error: unknown }): boolean => {
    if (error !== undefined) return shell.failed('write failed', error);
    printTransfer(shell, words, { verb: VERB, offset, length, seconds });
    return true;
  };
  const isState = flags.has('b');
  try {
    if (!isState) assertInside(shell, offset, length);
  } catch (error) {
    return perform(shell, () => Promise.reject(error), print);
  }
  const requestFlags = writeRequestFlags(flags);
  const send = (kind: RequestKind, issue: () => Maybe<void>): Maybe<boolean> =>
    perform(shell, labelled(shell, words, isState ? { kind } : { kind, offset, length }, issue), print);
  if (flags.has('z')) return send('write-zeroes', () => backend.zero(offset, length, requestFlags));
  const data = shell.buffers.brief(length);
  const source = flags.get('s');
  if (source === undefined) data.fill(pattern);
  else if (!fillFromFile(shell, data, source)) return false;
  if (isState) return send('write', () => writeVmState(shell, offset, data));
  if (flags.has('c')) return send('write', () => backend.writeCompressed(offset, data));
  return send('write', () => backend.write(offset, data, requestFlags));
}

export function writeRequestFlags(flags: Words['flags']): number {
  return (
    (flags.has('f') ? Flag.FUA : 0) | (flags.has('u') ? Flag.MAY_UNMAP : 0) | (flags.has('n') ? Flag.NO_FALLBACK : 0)
  );
}

function writeVmState(shell: Shell, offset: number, data: Buffer): Maybe<void> {
  const state = findBelow(shell.backend.image, (image) => image.vmState);
  if (!state) throw new NotSupported('the image has no place for machine state');
  const written = state.write(offset, data);
  return shell.backend.writethrough ? after(written, () => shell.backend.flush()) : written;
}

export const writev: ShellCommand = {
  name: 'writev',
  usage: '[-Cfq] [-P pattern] off len [len..]',
  summary: 'writes a range of bytes from several buffers',
  help: ["'writev 512 1k 1k' writes two kilobytes from offset 512 on, by one request with two buffers."],
  flags: writeFlags,
  words: [2],
  operands: [2],
  permission: Perm.WRITE,
  run(shell, words) {
    const { flags, operands } = words;
    const pattern = flags.has('P') ? patternWord(shell, flags.get('P') ?? '') : DEFAULT_PATTERN;
    const offset = pattern === undefined ? undefined : bytesWord(shell, operands[0]);
    const lengths = offset === undefined ? undefined : lengthWords(shell, operands.slice(1));
    if (pattern === undefined || offset === undefined || lengths === undefined) return false;
    const length = lengths.reduce((sum, each) => sum + each, 0);
    const issue = (): Maybe<void> => {
      assertInside(shell, offset, length);
      const data = shell.buffers.brief(length).fill(pattern);
      return shell.backend.writev(offset, splitBuffer(data, lengths), writeRequestFlags(flags));
    };
    const named = labelled(shell, words, { kind: 'write', offset, length }, issue);
    return perform(shell, named, ({ seconds, error }) => {
      if (error !== undefined) return shell.failed('writev failed', error);
      printTransfer(shell, words, { verb: VERB, offset, length, seconds });
      return true;
    });
  },
};
