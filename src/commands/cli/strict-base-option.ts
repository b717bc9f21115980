/** `--strict-base`, the option of every program that opens overlays. */
import type { ChangedBasePolicy } from '../../core/block/graph/block-graph.ts';
import type { OptionSpec } from './record.ts';

export const STRICT_BASE_OPTION = {
  long: 'strict-base',
  help: 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one',
} as const satisfies OptionSpec;

/** What a graph does about such an image; otherwise is what a program does that was not told to be strict. */
export function changedBase(
  strict: boolean | undefined,
  otherwise: Exclude<ChangedBasePolicy, 'refuse'> = 'warn',
): ChangedBasePolicy {
  return strict ? 'refuse' : otherwise;
}

/** The same for programs with which people look at, and try things out on, the layers of a chain. */
export const LAX_BASE_OPTION = {
  ...STRICT_BASE_OPTION,
  help: 'Refuse an image when its backing file was written to since the image was made on it, which is warned of otherwise, or the length or time of that file is another one',
} as const satisfies OptionSpec;
