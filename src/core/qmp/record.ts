/**
 * What a command is: one record, from which its checking, its place in the introspection and its section of the
 * document are made.
 *
 * ```ts
 * export const blockResize = command({
 *   name: 'block_resize',
 *   help: 'Change the length of a disk',
 *   arguments: { 'node-name': text({ help: 'The node', required: true }), size: bytes({ help: 'New length', required: true }) },
 *   async run({ 'node-name': name, size }, { service }) { … },
 * });
 * ```
 */
import type * as v from 'valibot';
import type { FieldSchema, Fields } from '../options/field.ts';
import { defineOptions, type EntriesOf } from '../options/fields.ts';
import type { OptionSchema } from '../options/schema.ts';
import type { BlockService } from './service.ts';
import type { Session } from './session.ts';
import { membersOf, NOTHING, type ObjectShape, type Shape, shapeOf } from './shape.ts';

export type Feature = 'deprecated' | 'unstable';

export interface CommandContext {
  readonly service: BlockService;
  /** The client that asks. */
  readonly session: Session;
}

/** A command whatever its arguments: as the session sees it. */
export interface AnyCommand {
  readonly name: string;
  /** One sentence, capital first, no final period. */
  readonly help: string;
  readonly features: readonly Feature[];
  /** Accepted before the capabilities are negotiated, and only then. */
  readonly negotiates: boolean;
  readonly argumentShape: Shape;
  /** Turns checked arguments into typed ones. */
  readonly schema: FieldSchema<unknown>;
  readonly returns: Shape;
  /** Takes what {@link schema} makes of the arguments. */
  run(args: never, context: CommandContext): unknown;
}

interface Common {
  readonly name: string;
  readonly help: string;
  readonly features?: readonly Feature[];
  readonly negotiates?: boolean;
}

interface Plain<F extends Fields, R> extends Common {
  readonly arguments?: F;
  readonly returns?: FieldSchema<R>;
  run(args: v.InferOutput<EntriesOf<F>>, context: CommandContext): R | Promise<R>;
}

interface Union<S extends FieldSchema<unknown>, R> extends Common {
  readonly argument: S;
  readonly returns?: FieldSchema<R>;
  run(args: v.InferOutput<S>, context: CommandContext): R | Promise<R>;
}

/** A command whose arguments are a record of fields. */
export function command<const F extends Fields, R = void>(record: Plain<F, R>): AnyCommand {
  const fields: Fields = record.arguments ?? {};
  return {
    ...finish(record),
    argumentShape: { kind: 'object', members: membersOf(fields) },
    schema: defineOptions(fields),
    run: record.run as AnyCommand['run'],
  };
}

/** A command whose arguments are one field: a union, or options of a node. */
export function unionCommand<S extends FieldSchema<unknown>, R = void>(record: Union<S, R>): AnyCommand {
  return {
    ...finish(record),
    argumentShape: shapeOf(record.argument),
    schema: record.argument,
    run: record.run as AnyCommand['run'],
  };
}

function finish(record: Common & { readonly returns?: FieldSchema<unknown> }) {
  return {
    name: record.name,
    help: record.help,
    features: record.features ?? [],
    negotiates: record.negotiates ?? false,
    returns: record.returns ? shapeOf(record.returns) : NOTHING,
  };
}

/** An event: what it says, and how often it may. */
export interface EventRecord {
  readonly name: string;
  readonly help: string;
  readonly data: ObjectShape;
  /** At most one in this many milliseconds of those for which `key` is the same; the last one in between follows late. */
  readonly limit?: { readonly ms: number; readonly key: (data: Readonly<Record<string, unknown>>) => string };
}

export function event(record: Omit<EventRecord, 'data'> & { readonly data?: Fields }): EventRecord {
  return { ...record, data: { kind: 'object', members: membersOf(record.data ?? {}) } };
}

export type { OptionSchema };
