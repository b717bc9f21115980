/** The command line of `io`, as a record like those of subcommands. */

import { cacheModeNames } from '../../core/block/backend/cache-mode.ts';
import { OBJECT_OPTION } from '../cli/object-value.ts';
import { command } from '../cli/record.ts';
import { REFS_OPTION } from '../cli/refs-option.ts';
import { LAX_BASE_OPTION } from '../cli/strict-base-option.ts';
import { TRACE_OPTION, TRACE_PATTERN_OPTION } from '../cli/trace-option.ts';
import { cacheWord } from './commands/open.ts';
import { diskFlags } from './disk-flags.ts';
import { runShell } from './run-shell.ts';

async function shellNames(): Promise<readonly string[]> {
  const { shellCommands } = await import('./commands/index.ts');
  return shellCommands.map((shellCommand) => shellCommand.name);
}

export const commandLine = command({
  name: '',
  summary: 'Read, write and inspect disk images by commands',
  description: [
    "Commands come from -c, one each, else from standard input, one a line. 'io -c help' lists them.",
    "'io replay' issues the requests of a trace again; 'io replay --help' tells more.",
    'Every write is stable before its command ends, unless a cache mode says otherwise.',
  ],
  arguments: { file: { name: 'FILE', optional: true, help: "The image; without one, 'open' opens it" } },
  options: {
    commands: { short: 'c', long: 'cmd', value: 'COMMAND', repeat: true, offers: shellNames, help: 'Run this command' },
    format: { short: 'f', long: 'format', value: 'FMT', help: 'Format of the image', conflicts: ['imageOpts'] },
    imageOpts: { long: 'image-opts', help: 'FILE is a list of options (driver=…,file.filename=…), not a name' },
    objects: OBJECT_OPTION,
    readOnly: { short: 'r', long: 'read-only', help: 'Open for reading only' },
    snapshot: { short: 's', long: 'snapshot', help: 'Let writes go to a temporary overlay' },
    noCache: { short: 'n', long: 'nocache', help: 'Bypass the page cache, as -t none' },
    cache: {
      short: 't',
      long: 'cache',
      value: 'MODE',
      parse: cacheWord,
      offers: cacheModeNames,
      help: 'Cache mode: none, writeback, writethrough, directsync or unsafe (default: writethrough)',
    },
    ...diskFlags,
    nativeAio: { short: 'k', long: 'native-aio', help: 'The same as -i native, which is refused' },
    copyOnRead: { short: 'C', long: 'copy-on-read', help: 'Keep what is read from a backing file' },
    misalign: { short: 'm', long: 'misalign', help: 'Give drivers buffers that are not aligned in memory' },
    forceShare: { short: 'U', long: 'force-share', help: 'Share the image with programs that write to it; needs -r' },
    refs: REFS_OPTION,
    strictBase: LAX_BASE_OPTION,
    trace: TRACE_OPTION,
    tracePatterns: TRACE_PATTERN_OPTION,
    version: { short: 'V', long: 'version', help: 'Show the version' },
  },
  examples: [
    ["io -c 'read -v 0 512' disk.qcow2", 'The first sector in hexadecimal'],
    ["io -f raw -c 'write -P 7 1M 64k' -c 'read -P 7 1M 64k' disk.raw", 'Write a pattern and check it'],
    ['io -r disk.qcow2 < commands.txt', 'Commands from a file'],
  ],
  statuses: [
    [0, 'all went well'],
    [1, 'the image could not be opened, or any command failed; those behind it were run all the same'],
    [130, 'interrupted'],
  ],
  run: runShell,
});
