/** `open`, `reopen` and `close`. */
import { cacheMode } from '../../../core/block/backend/cache-mode.ts';
import { commonOptions } from '../../../core/block/graph/common-options.ts';
import { asBlockError, BlockError } from '../../../core/errors/block-error.ts';
import { joinOptionLists, parseKeyValues } from '../../../core/options/keyval.ts';
import { validate } from '../../../core/options/parse.ts';
import { AIO_WORDS } from '../../cli/aio-option.ts';
import type { FlagSpecs, Words } from '../flags.ts';
import { defaultModes, discardMode, type OpenModes, openImage, ReopenFailed } from '../open-image.ts';
import type { Shell } from '../shell.ts';
import type { ShellCommand } from '../shell-command.ts';

const openFlags: FlagSpecs = {
  r: { help: 'Open for reading only' },
  s: { help: 'Let writes go to a temporary overlay' },
  C: { help: 'Keep what is read from a backing file' },
  n: { help: 'Bypass the page cache, as -t none' },
  k: { help: 'The same as -i native, which is refused' },
  U: { help: 'Share the image with programs that write to it; needs -r' },
  i: { value: 'aio', help: AIO_WORDS.help },
  t: { value: 'cache', help: 'Cache mode: none, writeback, writethrough, directsync or unsafe' },
  d: { value: 'discard', help: 'Whether discards are passed on: ignore or unmap' },
  o: { value: 'options', help: 'Options of the image, as key=value,…; may be repeated' },
};

export const open: ShellCommand = {
  name: 'open',
  alias: 'o',
  usage: '[-rsCnkU] [-t cache] [-d discard] [-o options] [path]',
  summary: 'opens an image',
  help: ["'open -n -o driver=raw /tmp/data' opens raw data for reading and writing past the page cache."],
  flags: openFlags,
  words: [1],
  operands: [0, 1],
  global: true,
  async run(shell, words) {
    const { imageOpts, graph, traceFile } = shell.settings;
    const [name] = words.operands;
    if (imageOpts && words.flags.has('o')) return shell.fail("--image-opts and 'open -o' are mutually exclusive");
    const modes = modesOf(words);
    const options = optionsOf(words);
    if (shell.opened) throw new BlockError("file open already, try 'help close'");
    shell.opened = await openImage(graph, { name, imageOpts, options }, { ...modes, traceFile });
    return true;
  },
};

/** The last one counts where flags contradict each other. */
function modesOf(words: Words): OpenModes {
  const { flags } = words;
  const modes = { ...defaultModes, readOnly: flags.has('r'), snapshot: flags.has('s'), copyOnRead: flags.has('C') };
  let { cache, unmap, aio } = defaultModes;
  for (const [flag, value] of words.given) {
    if (flag === 'n') cache = cacheMode('none');
    if (flag === 't') cache = cacheWord(value);
    if (flag === 'd') unmap = discardWord(value);
    if (flag === 'k') aio = 'native';
    if (flag === 'i') aio = aioWord(value);
  }
  return { ...modes, cache, unmap, aio, forceShare: flags.has('U') };
}

export function cacheWord(word: string): OpenModes['cache'] {
  try {
    return cacheMode(word);
  } catch (cause) {
    throw new BlockError(`Invalid cache option: ${word}`, { cause });
  }
}

export function discardWord(word: string): boolean {
  const unmap = discardMode(word);
  if (unmap === undefined) throw new BlockError(`Invalid discard option: ${word}`);
  return unmap;
}

export function aioWord(word: string): string {
  if (!AIO_WORDS.choices.some((mode) => mode === word)) throw new BlockError(`Invalid aio option: ${word}`);
  return word;
}

function optionsOf(words: Words): Record<string, string> {
  const lists = words.given.filter(([flag]) => flag === 'o').map(([, list]) => list);
  return lists.length === 0 ? {} : parseKeyValues(joinOptionLists(lists));
}

export const reopen: ShellCommand = {
  name: 'reopen',
  usage: '[(-r|-w)] [-c cache] [-o options]',
  summary: 'changes how the image is open',
  help: ["'reopen -o lazy-refcounts=on' lets a qcow2 image write its reference counts later."],
  flags: {
    r: { help: 'Open for reading only' },
    w: { help: 'Open for reading and writing' },
    c: { value: 'cache', help: 'Cache mode: none, writeback, writethrough, directsync or unsafe' },
    o: { value: 'options', help: 'Options of the image, as key=value,…; may be repeated' },
  },
  words: [0],
  operands: [0, 0],
  async run(shell, words) {
    const { flags, given } = words;
    const cache = flags.has('c') ? cacheWord(flags.get('c') ?? '') : undefined;
    if (given.filter(([flag]) => flag === 'r' || flag === 'w').length > 1) {
      throw new BlockError('Only one -r/-w option may be given');
    }
    const options = optionsOf(words);
    const { 'read-only': wanted, ...rest } = options;
    if (wanted !== undefined && (flags.has('r') || flags.has('w'))) {
      throw new BlockError("Cannot set both -r/-w and 'read-only'");
    }
    if (cache && ('cache.direct' in rest || 'cache.no-flush' in rest)) {
      throw new BlockError('Cannot set both -c and the cache options');
    }
    await shell.finishRequests();
    await change(shell, options, { cache, readOnly: flags.has('r') ? true : flags.has('w') ? false : undefined });
    return true;
  },
};

interface Change {
  readonly cache: OpenModes['cache'] | undefined;
  readonly readOnly: boolean | undefined;
}

async function change(shell: Shell, options: Record<string, string>, { cache, readOnly }: Change): Promise<void> {
  const { opened } = shell;
  if (!opened) return;
  const { 'read-only': word, ...rest } = options;
  const modes = {
    ...opened.modes,
    ...(cache ? { cache } : {}),
    readOnly: readOnly ?? (word === undefined ? opened.modes.readOnly : readOnlyWord(word)),
  };
  shell.opened = undefined;
  try {
    shell.opened = await opened.reopen(shell.settings.graph, rest, modes);
  } catch (error) {
    if (!(error instanceof ReopenFailed)) throw error;
    shell.opened = error.image;
    throw asBlockError(error.cause);
  }
}

/** A switch, by the words that all options of images take. */
function readOnlyWord(word: string): boolean {
  return validate(commonOptions, { 'read-only': word }, 'the node')['read-only'] === true;
}

export const close: ShellCommand = {
  name: 'close',
  alias: 'c',
  summary: 'closes the image',
  words: [0, 0],
  async run(shell) {
    await shell.close();
    return true;
  },
};
