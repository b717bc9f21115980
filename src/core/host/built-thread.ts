import fs from 'node:fs';
import { join } from 'node:path';

/**
 * The file of a thread that is built beside the programs (`dist/cli/NAME.cjs`), seen from a bundle of theirs or from that
 * of the library; undefined where nothing is built.
 */
export function builtThread(name: string): string | undefined {
  const places = ['.', '..', 'cli', join('..', 'cli')].map((place) => join(import.meta.dirname, place, `${name}.cjs`));
  return places.find((path) => fs.existsSync(path));
}
