/**
 * Files of rules: sections `[inject-error]`, `[set-state]` and `[label]`, a section for each rule, with lines
 * `name = "value"`. What follows a `#` is a comment. A section may carry an id, `[set-state "x"]`, which
 * says nothing here.
 */
import { readFile } from 'node:fs/promises';
import { Usage } from '../../core/errors/block-error.ts';
import { hostError } from '../../core/host/index.ts';

export interface Section {
  readonly kind: 'inject-error' | 'set-state' | 'label';
  readonly values: Readonly<Record<string, string>>;
  /** For messages: `section [set-state] in line 3 of 'rules.conf'`. */
  readonly where: string;
}

const SECTION = /^\[\s*([a-z-]+)(?:\s+"[^"]*")?\s*\](?:\s*#.*)?$/;
const SETTING = /^([A-Za-z0-9_-]+)\s*=\s*(?:"([^"]*)"|([^"\s#]+))(?:\s*#.*)?$/;
/** Longest file in bytes; rules are written by hand. */
const MAX_BYTES = 1 << 20;

export async function readConfig(path: string): Promise<Section[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw hostError('read', path, error);
  }
  return parseConfig(text, path);
}

/** @throws Usage that names the line. */
export function parseConfig(text: string, path: string): Section[] {
  if (text.length > MAX_BYTES) throw new Usage(`'${path}' is longer than ${MAX_BYTES} bytes`);
  const sections: { kind: Section['kind']; values: Record<string, string>; where: string }[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    const place = `line ${index + 1} of '${path}'`;
    if (line === '' || line.startsWith('#')) continue;
    const header = SECTION.exec(line);
    if (header) {
      sections.push({ kind: kindOf(header[1], place), values: {}, where: `section [${header[1]}] in ${place}` });
      continue;
    }
    const setting = SETTING.exec(line);
    const section = sections.at(-1);
    if (!setting?.[1]) throw new Usage(`${place} is neither a [section] nor name = "value"`);
    if (!section) throw new Usage(`${place} stands before the first [section]`);
    if (Object.hasOwn(section.values, setting[1])) throw new Usage(`${place} sets '${setting[1]}' again`);
    section.values[setting[1]] = setting[2] ?? setting[3] ?? '';
  }
  return sections;
}

function kindOf(name: string | undefined, place: string): Section['kind'] {
  if (name === 'inject-error' || name === 'set-state' || name === 'label') return name;
  throw new Usage(`${place} opens a section '${name}'; there are inject-error, set-state and label`);
}
