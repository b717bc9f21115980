import fs from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The file of a thread that is built beside the programs (`dist/cli/NAME.cjs`), seen from a bundle of theirs or from that
 * of the library; undefined where nothing is built.
 */
export function builtThread(name: string): string | undefined {
  const places = ['./', '../', './cli/', '../cli/'].map((place) => new URL(`${place}${name}.cjs`, import.meta.url));
  return places.map((place) => fileURLToPath(place)).find((path) => fs.existsSync(path));
}
