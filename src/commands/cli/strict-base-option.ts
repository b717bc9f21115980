/** `--strict-base`, the option of every program that opens overlays. */
import type { OptionSpec } from './record.ts';

export const STRICT_BASE_OPTION = {
  long: 'strict-base',
  help: 'Refuse an image, rather than warn, when its backing file was written to since the image was made on it, or the length or time of that file is another one',
} as const satisfies OptionSpec;

/** What a graph does about such an image. */
export function changedBase(strict: boolean | undefined): 'warn' | 'refuse' {
  return strict ? 'refuse' : 'warn';
}
