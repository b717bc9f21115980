/** From a message of a client to the result of a command, or the error that says why not. */
import { BlockError, Usage } from '../errors/block-error.ts';
import { suggestion } from '../options/closest.ts';
import { isRecord } from '../options/field.ts';
import { validate } from '../options/parse.ts';
import { checkShape } from './check-shape.ts';
import type { AnyCommand, CommandContext } from './record.ts';

export interface SessionState {
  readonly negotiated: boolean;
  /** The client may send `exec-oob`. */
  readonly oob: boolean;
}

const KNOWN = ['execute', 'exec-oob', 'arguments', 'id'];

export async function run(message: unknown, context: CommandContext, state: SessionState): Promise<unknown> {
  const { name, args } = readMessage(message, state);
  const commands = await context.service.commands();
  const found = commands.get(name);
  if (!state.negotiated && !found?.negotiates) {
    throw unknown("Expecting capabilities negotiation with 'qmp_capabilities'");
  }
  if (!found) throw unknown(`The command ${shown(name)} has not been found`, suggestion(name, commands.keys()));
  if (state.negotiated && found.negotiates) {
    throw unknown('Capabilities negotiation is already complete, command ignored');
  }
  if ('exec-oob' in (message as object)) throw new Usage(`The command ${name} does not support OOB`);
  return runCommand(found, args, context);
}

/** Check the arguments and run. */
export async function runCommand(
  found: AnyCommand,
  args: Readonly<Record<string, unknown>>,
  context: CommandContext,
): Promise<unknown> {
  checkShape(found.argumentShape, args, await context.service.types());
  const typed = validate(found.schema, plain(args), `command '${found.name}'`);
  return found.run(typed as never, context);
}

function readMessage(message: unknown, state: SessionState): { name: string; args: Record<string, unknown> } {
  if (!isRecord(message)) throw new Usage('QMP input must be a JSON object');
  const oob = state.oob && Object.hasOwn(message, 'exec-oob');
  const strange = Object.keys(message).find((key) => !KNOWN.includes(key) || (key === 'exec-oob' && !state.oob));
  if (strange !== undefined) throw new Usage(`QMP input member '${shown(strange)}' is unexpected`);
  if (oob && Object.hasOwn(message, 'execute')) {
    throw new Usage("QMP input has both 'execute' and 'exec-oob', only one may be given");
  }
  const name = oob ? message['exec-oob'] : message.execute;
  if (name === undefined) throw new Usage("QMP input lacks member 'execute'");
  if (typeof name !== 'string') throw new Usage(`QMP input member '${oob ? 'exec-oob' : 'execute'}' must be a string`);
  const args = Object.hasOwn(message, 'arguments') ? message.arguments : {};
  if (!isRecord(args)) throw new Usage("QMP input member 'arguments' must be an object");
  return { name, args };
}

/** What is beyond 2^53 as text, which fields know to refuse by its limit. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

/** Longest name that is repeated in a message, in characters. */
const SHOWN = 80;

function shown(name: string): string {
  return name.length > SHOWN ? `${name.slice(0, SHOWN)}…` : name;
}

function unknown(message: string, followUp?: string): BlockError {
  const data = { qmpClass: 'CommandNotFound' };
  return new BlockError(message, { code: 'ENOENT', data, followUp });
}
