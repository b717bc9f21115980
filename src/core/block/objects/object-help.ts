/** Help on user objects, from their records: what `--object help` and `--object TYPE,help` show. */
import { describe, formatOptionHelp } from '../../options/describe.ts';
import { objectEntries, objectEntry } from './object-types.ts';

const NAME_WIDTH = 20;

/**
 * The options of a type; without one, the types there are.
 * @throws BlockError for a type that does not exist.
 */
export async function objectHelp(type?: string): Promise<string> {
  if (type !== undefined)
    return formatOptionHelp(describe((await objectEntry(type).load()).options), `Supported ${type} options:`);
  const lines = objectEntries.map(({ name, summary }) => `  ${name.padEnd(NAME_WIDTH)} ${summary}`);
  return ['List of user creatable objects:', ...lines, ''].join('\n');
}
