/**
 * The shell around subcommands, the same for all programs.
 *
 * What belongs in this room: records of subcommands and what follows from them — parsing, help, man pages —
 * and the dealings with the process: output, signals, exit statuses, progress. What does not: any subcommand,
 * and anything that knows an image.
 */
import { Usage } from '../../core/errors/block-error.ts';
import { closest } from '../../core/options/closest.ts';
import type { Io } from './io.ts';
import { type ParseResult, parseArguments, SelfExplained } from './parse-arguments.ts';
import { processIo } from './process-io.ts';
import { Answer, type AnyCommand, Failure } from './record.ts';
import { FAILED, report } from './report.ts';
import { traceFile, tracePattern, unlessHelp } from './trace-option.ts';
import { versionText } from './version.ts';

export interface Program {
  /** `img`; what it is called as may differ. */
  readonly name: string;
  readonly summary: string;
  /** Subcommands in the order of the overview; each is loaded when it is used. */
  readonly commands: Readonly<Record<string, () => Promise<AnyCommand>>>;
  /** Further paragraphs of the overview, such as the formats there are. */
  readonly notes?: () => Promise<readonly string[]>;
  /** Paragraphs below those, in the man page alone. */
  readonly remarks?: readonly string[];
  /** For a program that has work of its own, where the first word is no subcommand. */
  readonly alone?: Alone;
  /** Help on what is no subcommand: undefined for a name that is not known. */
  readonly topic?: (name: string) => Promise<string | undefined>;
}

export interface Alone {
  /** The command lines there are, the usual one first. */
  readonly forms: readonly [AnyCommand, ...AnyCommand[]];
  /** The one that is meant. */
  pick(argv: readonly string[], programName: string): AnyCommand;
}

/** The subcommands of a program, with those that all programs have. */
export function commandsOf(program: Program): Program['commands'] {
  return {
    ...program.commands,
    help: async () => (await import('./help-command.ts')).helpCommand(program),
    completion: async () => (await import('./completion/command.ts')).completionCommand(program),
  };
}

/**
 * Run a program on the real process. Nothing that a command does goes wrong unreported: the result is always
 * an exit status. `programName` is what it was called as.
 */
export async function runProgram(program: Program, argv: readonly string[], programName: string): Promise<number> {
  const io = processIo(programName.replace(/\.c?js$/, ''));
  try {
    const status = await run(program, argv, io);
    return io.signalStatus ?? status;
  } finally {
    io.end();
  }
}

/** {@link runProgram} on any {@link Io}. */
export async function run(program: Program, argv: readonly string[], io: Io): Promise<number> {
  try {
    if (program.alone) return await runAlone(program, program.alone, argv, io);
    const start = readGlobal(argv, io);
    if (start.action === 'version') io.stdout.write(versionText(io.programName));
    if (start.action === 'help') io.stdout.write(await overview(program, io));
    if (start.action !== 'command') return 0;
    return await runCommand(program, start.name, start.words, { ...io, traceFile: start.traceFile });
  } catch (error) {
    if (!(error instanceof Answer)) return report(error, io);
    io.stdout.write(await error.text());
    return 0;
  }
}

/** Under a name of QEMU's the first word is a file, whatever it is: those programs know no subcommands. */
async function runAlone(program: Program, alone: Alone, argv: readonly string[], io: Io): Promise<number> {
  const [first = ''] = argv;
  const named = Object.hasOwn(commandsOf(program), first) && !io.programName.startsWith('qemu-');
  if (named) return await runCommand(program, first, argv.slice(1), io);
  const record = alone.pick(argv, io.programName);
  const result = parseArguments(record, argv);
  if (!result.help) return await runParsed(record, result, io);
  io.stdout.write(await (await import('./help.ts')).aloneHelp(program, record, io));
  return 0;
}

type Start =
  | { readonly action: 'help' | 'version' | 'nothing' }
  | {
      readonly action: 'command';
      readonly name: string;
      readonly words: readonly string[];
      readonly traceFile: string | undefined;
    };

const GLOBAL = ['help', 'version', 'trace'];

/** Options before the subcommand; the first word that is none names it. */
function readGlobal(argv: readonly string[], io: Io): Start {
  let file: string | undefined;
  for (let at = 0; at < argv.length; at++) {
    const first = argv[at] ?? '';
    const named = first === '--' && at + 1 < argv.length ? at + 1 : at;
    const word = argv[named] ?? '';
    if (named > at || !word.startsWith('-') || word === '-') {
      return { action: 'command', name: word, words: argv.slice(named + 1), traceFile: file };
    }
    const [option, value] = globalOption(word);
    if (option === 'help' || option === 'version') return { action: option };
    if (option !== 'trace') throw new Usage(`unknown option '${word}'`, { followUp: tryHelp(io) });
    const given = value ?? argv[++at];
    const long = word.startsWith('--');
    if (given === undefined) {
      throw new Usage(`option '${word}' needs a value ${long ? 'FILE' : 'PATTERN'}`, { followUp: tryHelp(io) });
    }
    const traced = unlessHelp(given);
    file = long ? traceFile(traced, io) : (tracePattern(traced, io) ?? file);
    if (at + 1 === argv.length) return { action: 'nothing' };
  }
  throw new Usage('a command is missing', { followUp: tryHelp(io) });
}

/** The global option that `word` is, or begins, and the value attached to it. */
function globalOption(word: string): readonly [option: string | undefined, value: string | undefined] {
  if (!word.startsWith('--')) {
    const name = GLOBAL.find(
      (each) => (each === 'version' || each === 'trace' ? each[0]?.toUpperCase() : each[0]) === word[1],
    );
    const rest = word.slice(2);
    return name === 'trace' ? [name, rest === '' ? undefined : rest] : [rest === '' ? name : undefined, undefined];
  }
  const [start = '', value] = word.slice(2).split(/=(.*)/s, 2);
  const name = start === '' ? undefined : GLOBAL.find((each) => each.startsWith(start));
  return name === 'trace' || value === undefined ? [name, value] : [undefined, undefined];
}

async function runCommand(program: Program, name: string, words: readonly string[], io: Io): Promise<number> {
  const record = await loadCommand(program, name, tryHelp(io));
  const result = parse(record, words, io);
  return runParsed(record, result, io);
}

/** The record of a subcommand. @throws Usage, with `followUp`, where there is none of that name. */
export async function loadCommand(program: Program, name: string, followUp: string): Promise<AnyCommand> {
  const commands = commandsOf(program);
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load !== undefined) return await load();
  const near = closest(name, Object.keys(commands), 1)[0];
  const meant = near === undefined ? '' : ` (did you mean '${near}'?)`;
  throw new Usage(`unknown command '${name}'${meant}`, { followUp });
}

/** Do what the command line says: run the command, or show what it asks for. */
export async function runParsed(record: AnyCommand, result: ParseResult, io: Io): Promise<number> {
  if (!result.help && !result.answer) return await record.run(result.parsed as never, io);
  if (result.help) io.stdout.write(await (await import('./help.ts')).commandHelp(record, io));
  else io.stdout.write(await result.answer());
  return 0;
}

function parse(record: AnyCommand, words: readonly string[], io: Io): ParseResult {
  try {
    return parseArguments(record, words);
  } catch (error) {
    const status = record.usageStatus ?? FAILED;
    const helps = error instanceof Usage && !(error instanceof SelfExplained) && !error.hasAdvice;
    if (!helps) throw new Failure(status, error);
    throw new Failure(status, new Usage(error.message, { followUp: tryHelp(io, record.name), cause: error }));
  }
}

export function tryHelp(io: Io, command?: string): string {
  return `Try '${io.programName}${command === undefined ? '' : ` ${command}`} --help' for more information`;
}

async function overview(program: Program, io: Io): Promise<string> {
  const { programHelp } = await import('./help.ts');
  return programHelp(program, io);
}
