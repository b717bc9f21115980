/**
 * The form of a value on the wire, read off the fields that describe it. Checking, introspection and the document all
 * go by it, so that what is said to be accepted is what is accepted.
 */
import { type FieldInfo, type FieldSchema, type Fields, fieldInfo } from '../options/field.ts';

export type Shape =
  | { readonly kind: 'int' | 'number' | 'bool' | 'str' | 'any' | 'null' }
  /** What is `refused` is not said to be accepted, but gets through, so that the error says why it is not. */
  | { readonly kind: 'enum'; readonly values: readonly string[]; readonly refused?: readonly string[] }
  | { readonly kind: 'list'; readonly item: Shape }
  | ObjectShape
  | { readonly kind: 'either'; readonly forms: readonly Shape[] }
  /** One of the types that are known by name, since they contain themselves. */
  | { readonly kind: 'named'; readonly name: TypeName };

export interface ObjectShape {
  readonly kind: 'object';
  readonly members: readonly Member[];
  /** The member whose value says which further members there are. */
  readonly tag?: string;
  readonly cases?: ReadonlyMap<string, readonly Member[]>;
}

export interface Member {
  readonly name: string;
  readonly help: string;
  readonly shape: Shape;
  readonly optional: boolean;
  /** An old spelling. */
  readonly deprecated: boolean;
  readonly default?: unknown;
}

/**
 * Options of a node and of the making of an image, and what is told of one: they depend on which drivers there are. And
 * statistics, in which nodes stand within nodes.
 */
export type TypeName =
  | 'BlockdevOptions'
  | 'BlockdevFilterOptions'
  | 'BlockdevCreateOptions'
  | 'BlockdevAmendOptions'
  | 'ObjectOptions'
  | 'ImageInfo'
  | 'BlockStats'
  | 'BlockDeviceStats';

/** The shapes of the named types. */
export type Types = ReadonlyMap<TypeName, ObjectShape>;

export const NOTHING: ObjectShape = { kind: 'object', members: [] };

/** A field that {@link named} made. */
const names = new WeakMap<object, TypeName>();

/** Give a field made of anything the shape of a named type. */
export function named<F extends FieldSchema<unknown>>(name: TypeName, field: F): F {
  const info = fieldInfo(field);
  if (info) names.set(info, name);
  return field;
}

/** The shape of what a field describes. */
export function shapeOf(field: FieldSchema<unknown>): Shape {
  const info = fieldInfo(field);
  if (!info) return { kind: 'any' };
  const name = names.get(info);
  if (name !== undefined) return { kind: 'named', name };
  return shapeOfInfo(info);
}

function shapeOfInfo(info: FieldInfo): Shape {
  switch (info.kind) {
    case 'size':
    case 'integer':
      return { kind: 'int' };
    case 'number':
    case 'bool':
      return { kind: info.kind };
    case 'text':
      return textShape(info);
    case 'choice':
      return { kind: 'enum', values: info.choices ?? [], refused: info.neverGranted ?? [] };
    case 'node':
      return { kind: 'either', forms: [{ kind: 'str' }, { kind: 'named', name: 'BlockdevOptions' }, { kind: 'null' }] };
    case 'list':
      return { kind: 'list', item: info.item ? shapeOf(info.item) : { kind: 'any' } };
    case 'group':
      return { kind: 'object', members: membersOf(info.fields ?? {}) };
    case 'variant':
      return unionOf(info.key ?? 'type', info.branches ?? {});
    case 'either':
      return { kind: 'either', forms: (info.forms ?? []).map(shapeOf) };
    case 'any':
      return { kind: 'any' };
  }
}

function textShape({ orNumber, orNull }: FieldInfo): Shape {
  if (orNumber) return { kind: 'either', forms: [{ kind: 'int' }, { kind: 'str' }] };
  return orNull ? { kind: 'either', forms: [{ kind: 'str' }, { kind: 'null' }] } : { kind: 'str' };
}

export function membersOf(fields: Fields): Member[] {
  return Object.entries(fields).map(([name, field]) => memberOf(name, field));
}

export function memberOf(name: string, field: FieldSchema<unknown>): Member {
  const info = fieldInfo(field);
  return {
    name,
    help: info?.help ?? '',
    shape: shapeOf(field),
    optional: info?.required !== true,
    deprecated: info?.hidden === true,
    ...(info?.default === undefined ? {} : { default: info.default }),
  };
}

/** A union by the value of `tag`; members that all branches share stand before the branches. */
export function unionOf(
  tag: string,
  branches: Readonly<Record<string, Fields>>,
  more: readonly Member[] = [],
): ObjectShape {
  const all = Object.entries(branches);
  const [first] = all;
  const common = Object.entries(first?.[1] ?? {}).filter(([name, field]) =>
    all.every(([, fields]) => fields[name] === field),
  );
  const shared = new Set([tag, ...common.map(([name]) => name)]);
  const tagMember: Member = {
    name: tag,
    help: 'Which kind',
    shape: { kind: 'enum', values: all.map(([name]) => name) },
    optional: false,
    deprecated: false,
  };
  return {
    kind: 'object',
    tag,
    members: [tagMember, ...more, ...common.map(([name, field]) => memberOf(name, field))],
    cases: new Map(
      all.map(([name, fields]) => [
        name,
        membersOf(Object.fromEntries(Object.entries(fields).filter(([key]) => !shared.has(key)))),
      ]),
    ),
  };
}
