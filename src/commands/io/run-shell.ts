import { BlockGraph } from '../../core/block/graph/block-graph.ts';
import type { ReferencePolicy } from '../../core/block/graph/references.ts';
import { driverList } from '../../drivers/index.ts';
import { type Io, userLines } from '../cli/io.ts';
import { addObjects, type UserObject } from '../cli/object-value.ts';
import { changedBase } from '../cli/strict-base-option.ts';
import { traceFile, tracePattern } from '../cli/trace-option.ts';
import { versionText } from '../cli/version.ts';
import { commandTable } from './commands/index.ts';
import { standardInput } from './input.ts';
import { defaultModes, type OpenModes, openImage } from './open-image.ts';
import { runList, runScript } from './script.ts';
import { Shell } from './shell.ts';

/** Values of the options of `command-line.ts`. */
interface ShellOptions {
  readonly commands: readonly string[];
  readonly format: string | undefined;
  readonly imageOpts: boolean;
  readonly objects: readonly UserObject[];
  readonly readOnly: boolean;
  readonly snapshot: boolean;
  readonly noCache: boolean;
  readonly cache: OpenModes['cache'] | undefined;
  readonly discard: boolean | undefined;
  readonly aio: string | undefined;
  readonly nativeAio: boolean;
  readonly copyOnRead: boolean;
  readonly misalign: boolean;
  readonly forceShare: boolean;
  readonly refs: ReferencePolicy;
  readonly strictBase: boolean;
  readonly trace: string | undefined;
  readonly tracePatterns: readonly string[];
  readonly version: boolean;
}

interface ParsedLine {
  readonly arguments: { readonly file: string | undefined };
  readonly options: ShellOptions;
  readonly given: readonly { readonly key: string }[];
}

const FAILED = 1;

/** Open the image, run the commands, close it. The exit status says whether any of that failed. */
export async function runShell(line: ParsedLine, io: Io): Promise<number> {
  const { options } = line;
  if (options.version) {
    io.stdout.write(versionText(io.programName));
    return 0;
  }
  for (const pattern of options.tracePatterns) tracePattern(pattern, io);
  const file = options.trace === undefined ? undefined : traceFile(options.trace, io);
  const lines = userLines(io);
  await using graph = new BlockGraph({
    drivers: driverList,
    references: options.refs,
    changedBase: changedBase(options.strictBase, 'warn-certain'),
    warn: (message) => {
      shell.printer.flush();
      lines.warn(message);
    },
    note: (line) => {
      shell.printer.flush();
      lines.note(line);
    },
  });
  await addObjects(graph, options.objects, io.signal);
  const shell = new Shell({
    io,
    graph,
    commands: commandTable(),
    misaligned: options.misalign,
    imageOpts: options.imageOpts,
    traceFile: file,
  });
  const { file: name } = line.arguments;
  if (name !== undefined) {
    const request = { name, format: options.format, imageOpts: options.imageOpts };
    shell.opened = await openImage(graph, request, { ...modesOf(line), traceFile: file });
  }
  const onIdle = (): void => shell.stuck();
  process.on('beforeExit', onIdle);
  try {
    const good = await runCommands(shell, options.commands);
    const closed = await end(shell);
    return good && closed && !shell.broken ? 0 : FAILED;
  } finally {
    process.off('beforeExit', onIdle);
  }
}

async function runCommands(shell: Shell, commands: readonly string[]): Promise<boolean> {
  if (commands.length > 0) return runList(shell, commands);
  if (process.stdin.isTTY && shell.io.stdout.isTTY) {
    const { runPrompt } = await import('./prompt.ts');
    return runPrompt(shell);
  }
  return runScript(shell, standardInput(shell.io.signal));
}

async function end(shell: Shell): Promise<boolean> {
  try {
    await shell.close();
    return true;
  } catch (error) {
    return shell.report(error);
  } finally {
    shell.printer.flush();
  }
}

/** Of -n and -t, and of -k and -i, the last one counts. */
function modesOf({ options, given }: ParsedLine): OpenModes {
  const last = (...keys: string[]): string | undefined =>
    given.findLast((each: { readonly key: string }) => keys.includes(each.key))?.key;
  const cache = last('cache', 'noCache') === 'noCache' ? NO_CACHE : options.cache;
  const aio = last('aio', 'nativeAio') === 'nativeAio' ? 'native' : options.aio;
  return {
    readOnly: options.readOnly,
    cache: cache ?? defaultModes.cache,
    unmap: options.discard ?? defaultModes.unmap,
    forceShare: options.forceShare,
    copyOnRead: options.copyOnRead,
    snapshot: options.snapshot,
    aio,
  };
}

const NO_CACHE: OpenModes['cache'] = { direct: true, noFlush: false, writethrough: false };
