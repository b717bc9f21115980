/** `--object`: what images refer to by id, as `TYPE,id=ID,…` or JSON. Which types there are is the block layer's matter. */
import type { BlockGraph } from '../../core/block/graph/block-graph.ts';
import { objectHelp } from '../../core/block/objects/index.ts';
import { BlockError, Usage } from '../../core/errors/block-error.ts';
import { asksForHelp, isRecord, type Options } from '../../core/options/index.ts';
import { parseJson } from '../../core/options/json.ts';
import { parseKeyValues } from '../../core/options/keyval.ts';
import { Answer, type OptionSpec } from './record.ts';

/** An object as it was typed: not yet looked at, and known to no graph. */
export interface UserObject {
  /** `qom-type`, `id` and what the type takes. */
  readonly definition: Options;
}

/** The option of every program that opens images. */
export const OBJECT_OPTION = {
  long: 'object',
  value: 'OBJECT',
  repeat: true,
  offers: 'object',
  parse: objectValue,
  help:
    'Define an object (TYPE,id=ID,…) for images to refer to, such as a secret or a throttle-group; ' +
    "'--object help' lists the types, '--object TYPE,help' the options of one",
} as const satisfies OptionSpec;

/**
 * Reader of `--object`.
 * @throws Answer where help is asked for; Usage, which does not repeat the text: it may hold a password.
 */
export function objectValue(text: string, option: string): UserObject {
  const definition = parseObject(text, option);
  const type = definition['qom-type'];
  if (type === undefined || type === '') throw new Usage(`${option} expects a type such as secret first`);
  if (!text.startsWith('{') && asksForHelp(text)) {
    throw new Answer(() => objectHelp(type === 'help' || type === '?' ? undefined : String(type)));
  }
  return { definition };
}

function parseObject(text: string, option: string): Options {
  if (!text.startsWith('{')) return readSafely(() => parseKeyValues(text, { impliedKey: 'qom-type' }), option);
  const value = readSafely(() => parseJson(text, `the value of ${option}`), option);
  return isRecord(value) ? value : {};
}

/** Errors in the notation quote what they are about; here they must not. */
function readSafely<T>(read: () => T, option: string): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    throw new Usage(`the value of ${option} cannot be read`, {
      hint: 'It is TYPE,id=ID,NAME=VALUE,… or a JSON object with qom-type, id and options',
    });
  }
}

/** Define the objects of a command line in `graph`, in their order; `signal` ends the wait for what they need. */
export async function addObjects(
  graph: BlockGraph,
  objects: readonly UserObject[],
  signal: AbortSignal,
): Promise<void> {
  for (const { definition } of objects) await graph.objects.add(definition, signal);
}
