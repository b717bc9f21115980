/** What stands before the subcommand of a program that has nothing but subcommands. */
import { HELP } from './parse-arguments.ts';
import type { OptionSpec } from './record.ts';
import { TRACE_OPTION, TRACE_PATTERN_OPTION } from './trace-option.ts';

export const GLOBAL_OPTIONS = {
  help: HELP,
  version: { short: 'V', long: 'version', help: 'Show the version' },
  trace: TRACE_OPTION,
  tracePatterns: TRACE_PATTERN_OPTION,
} as const satisfies Readonly<Record<string, OptionSpec>>;
