/** The option `--trace FILE` of all programs: requests to the images of a command are recorded in FILE. */
import type { NodeSpec } from '../../core/block/graph/spec.ts';
import { type Io, warn } from './io.ts';
import { Answer, type OptionSpec } from './record.ts';

export const TRACE_OPTION = {
  long: 'trace',
  value: 'FILE',
  parse: unlessHelp,
  help: 'Record all requests to the opened images in FILE (ending in .gz or .zst: compressed), for io replay',
} as const satisfies OptionSpec;

export const TRACE_PATTERN_OPTION = {
  short: 'T',
  value: 'PATTERN',
  repeat: true,
  parse: unlessHelp,
  help: "Accepted for compatibility: there are no events that could be switched on, and a warning says so; '-T help' names what there is instead",
} as const satisfies OptionSpec;

/** What users of QEMU's programs write there. */
const PATTERN = /^(enable|events|file)=/;

const HELP = `There are no trace events to switch on. What can be traced:
  --trace FILE       all requests to the opened images, with their times
  io replay FILE     issues these again; 'io replay --help' tells more
`;

/** The value, unless it asks what there is. A file of that name is `./help`. @throws Answer */
export function unlessHelp(value: string): string {
  if (value === 'help' || value === '?') throw new Answer(async () => HELP);
  return value;
}

/** `-T PATTERN`: events that other programs would write about. */
export function tracePattern(pattern: string, io: Io): undefined {
  warn(io, `there are no trace events, '${pattern}' matches none`);
}

/**
 * The file of `--trace`. A program that goes by a name of QEMU's takes the option as that one does, and so does any
 * where the value can be nothing else: then there is a warning, and no file.
 */
export function traceFile(value: string, io: Io): string | undefined {
  return io.programName.startsWith('qemu-') || PATTERN.test(value) ? tracePattern(value, io) : value;
}

/** The image of `spec` with the requests to it recorded in `file`. */
export function traced(spec: NodeSpec, file: string | undefined): NodeSpec {
  if (file === undefined) return spec;
  return spec.trace === undefined ? { ...spec, trace: file } : traceAbove(spec, file);
}

/** The same by a node above, which stays where its users are: for images that get other nodes while they are used. */
export function traceAbove(spec: NodeSpec, file: string | undefined): NodeSpec {
  return file === undefined ? spec : { driver: 'trace', 'trace-file': file, file: spec };
}
