/** The answer to `query-qmp-schema`, made from the shapes of commands and events. */
import type { AnyCommand, EventRecord } from './record.ts';
import type { Member, ObjectShape, Shape, TypeName, Types } from './shape.ts';
import { NOTHING } from './shape.ts';

export type SchemaInfo = Readonly<Record<string, unknown>> & { readonly name: string };

const JSON_TYPES = {
  int: 'int',
  number: 'number',
  bool: 'boolean',
  str: 'string',
  any: 'value',
  null: 'null',
} as const;

/** All commands, events and the types they use; types are named by numbers, for their names are no part of the contract. */
export function introspect(
  commands: Iterable<AnyCommand>,
  events: Iterable<EventRecord>,
  types: Types,
): readonly SchemaInfo[] {
  const maker = new Maker(types);
  const top: SchemaInfo[] = [];
  for (const { name, argumentShape, returns, features } of commands) {
    top.push({
      name,
      'meta-type': 'command',
      'arg-type': maker.nameOf(argumentShape),
      'ret-type': maker.nameOf(returns),
      ...(features.length > 0 ? { features } : {}),
    });
  }
  for (const { name, data } of events) top.push({ name, 'meta-type': 'event', 'arg-type': maker.nameOf(data) });
  return [...top, ...maker.made];
}

class Maker {
  readonly made: SchemaInfo[] = [];
  readonly #types: Types;
  /** Names given, by what the types are. */
  readonly #names = new Map<string, string>();
  readonly #named = new Map<TypeName, string>();
  #count = 0;

  constructor(types: Types) {
    this.#types = types;
  }

  nameOf(shape: Shape): string {
    switch (shape.kind) {
      case 'int':
      case 'number':
      case 'bool':
      case 'str':
      case 'any':
      case 'null':
        return this.#builtin(shape.kind);
      case 'enum':
        return this.#add({
          'meta-type': 'enum',
          members: shape.values.map((name) => ({ name })),
          values: shape.values,
        });
      case 'list': {
        const element = this.nameOf(shape.item);
        return this.#add({ 'meta-type': 'array', 'element-type': element }, `[${element}]`);
      }
      case 'object':
        return this.#object(shape);
      case 'either':
        return this.#add({
          'meta-type': 'alternate',
          members: shape.forms.map((form) => ({ type: this.nameOf(form) })),
        });
      case 'named':
        return this.#namedType(shape.name);
    }
  }

  #builtin(name: keyof typeof JSON_TYPES): string {
    return this.#add({ 'meta-type': 'builtin', 'json-type': JSON_TYPES[name] }, name);
  }

  /** It may contain itself: the name stands before the content is looked at. */
  #namedType(type: TypeName): string {
    const known = this.#named.get(type);
    if (known !== undefined) return known;
    const name = this.#nextName();
    this.#named.set(type, name);
    this.made.push({ name, ...this.#content(this.#types.get(type) ?? NOTHING) });
    return name;
  }

  #object(shape: ObjectShape): string {
    return this.#add(this.#content(shape));
  }

  #content(shape: ObjectShape): Readonly<Record<string, unknown>> {
    const members = shape.members.map((member) => this.#member(member));
    if (shape.tag === undefined || !shape.cases) return { 'meta-type': 'object', members };
    const variants = [...shape.cases].map(([name, more]) => ({
      case: name,
      type: this.#object({ kind: 'object', members: more }),
    }));
    return { 'meta-type': 'object', members, tag: shape.tag, variants };
  }

  #member({ name, shape, optional, deprecated }: Member): Readonly<Record<string, unknown>> {
    return {
      name,
      type: this.nameOf(shape),
      ...(optional ? { default: null } : {}),
      ...(deprecated ? { features: ['deprecated'] } : {}),
    };
  }

  #add(content: Readonly<Record<string, unknown>>, fixed?: string): string {
    const key = fixed ?? JSON.stringify(content);
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = fixed ?? this.#nextName();
    this.#names.set(key, name);
    this.made.push({ name, ...content });
    return name;
  }

  #nextName(): string {
    return String(this.#count++);
  }
}
