/** File names of the form `json:{…}`: options of a node written as JSON. */
import { Usage } from '../errors/block-error.ts';
import { isRecord, show } from './field.ts';
import { formatJson, parseJson } from './json.ts';

const PREFIX = 'json:';
/** Longest accepted name in characters; one word of a command line is hardly longer. */
const MAX_LENGTH = 128 * 1024;

export function isJsonName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** The options of a `json:` name, as written: dotted keys and groups may be mixed (see `crumple`). */
export function parseJsonName(name: string): Record<string, unknown> {
  const text = name.slice(PREFIX.length);
  if (text.length > MAX_LENGTH) {
    throw new Usage(`name ${show(name)} is ${name.length} characters long, more than ${MAX_LENGTH}`);
  }
  const options = parseJson(text, `name ${show(name)}`);
  if (!isRecord(options)) throw new Usage(`name ${show(name)} holds no JSON object`);
  return options;
}

/** The name that opens a node with these options. */
export function formatJsonName(options: Readonly<Record<string, unknown>>): string {
  return PREFIX + formatJson(options);
}
