/**
 * Files of rules: sections `[inject-error]`, `[set-state]` and `[label]`, a section for each rule, with lines
 * `name = "value"`. What follows a `#` is a comment. A section may carry an id, `[set-state "x"]`, which
 * says nothing here.
 */
import { BlockError, Usage } from '../../core/errors/block-error.ts';
import { hostError, readAll } from '../../core/host/index.ts';
import { show } from '../../core/options/field.ts';

export interface Section {
  readonly kind: 'inject-error' | 'set-state' | 'label';
  readonly values: Readonly<Record<string, string>>;
  /** For messages: `section [set-state] in line 3 of 'rules.conf'`. */
  readonly where: string;
}

const SECTION = /^\[\s*([a-z-]+)(?:\s+"[^"]*")?\s*\](?:\s*#.*)?$/;
const SETTING = /^([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"([^"]*)"|([^"\s#]+))(?:\s*#.*)?$/;
/** Longest file in bytes; rules are written by hand. */
const MAX_BYTES = 1 << 20;

export async function readConfig(path: string, signal?: AbortSignal): Promise<Section[]> {
  try {
    return parseConfig(Buffer.from(await readAll(path, MAX_BYTES, signal)).toString('utf8'), path);
  } catch (error) {
    if (error instanceof BlockError && error.code === 'EFBIG') {
      throw new Usage(`'${path}' is longer than ${MAX_BYTES} bytes, too long for a file of rules`);
    }
    throw hostError('read', path, error);
  }
}

/** @throws Usage that names the line. */
export function parseConfig(text: string, path: string): Section[] {
  const sections: { kind: Section['kind']; values: Record<string, string>; where: string }[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    const place = `line ${index + 1} of '${path}'`;
    if (line.includes('\0')) throw new Usage(`${place} has a NUL byte in it`);
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
    if (Object.hasOwn(section.values, setting[1])) throw new Usage(`${place} sets ${show(setting[1])} again`);
    section.values[setting[1]] = setting[2] ?? setting[3] ?? '';
  }
  return sections;
}

function kindOf(name: string | undefined, place: string): Section['kind'] {
  if (name === 'inject-error' || name === 'set-state' || name === 'label') return name;
  throw new Usage(`${place} opens a section ${show(name)}; there are inject-error, set-state and label`);
}
