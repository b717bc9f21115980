/** `--refs`, the option of every program that opens images which name others. */
import { referencePolicies } from '../../core/block/graph/references.ts';
import type { OptionSpec } from './record.ts';

export const REFS_OPTION = {
  long: 'refs',
  value: 'none|same-dir|all',
  choices: referencePolicies,
  default: 'all',
  help: 'Which other files an image may cause to be opened: none, plain files in its own folder or below, or all',
} as const satisfies OptionSpec;
