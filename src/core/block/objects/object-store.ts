/** The user objects of a graph, by id. */
import { BlockError, Usage } from '../../errors/block-error.ts';
import { isIdentifier } from '../../options/identifier.ts';
import { validate } from '../../options/parse.ts';
import type { Options } from '../../options/schema.ts';
import { fieldsOf } from '../../options/structures.ts';
import { crumple } from '../../options/tree.ts';
import {
  type ObjectKind,
  type ObjectKinds,
  type ObjectProperty,
  type ObjectType,
  type PropertyInfo,
  propertiesOf,
} from './object-type.ts';
import { objectEntry } from './object-types.ts';

type AnyObject = ObjectKinds[ObjectKind];

interface Entry {
  readonly id: string;
  readonly type: ObjectType;
  readonly object: AnyObject;
  /** The options that are shown. */
  readonly shown: Options;
  users: number;
}

/** An object that exists already: its owner is the store from then on. */
export interface PlacedObject<O extends Options, K extends ObjectKind> {
  readonly id: string;
  readonly type: ObjectType<O, K>;
  readonly object: ObjectKinds[K];
}

/** An object and the fact that somebody holds on to it. */
export interface ObjectUse<K extends ObjectKind = ObjectKind> {
  readonly object: ObjectKinds[K];
  /** Doing so again does nothing. */
  release(): void;
}

export class ObjectStore {
  readonly #entries = new Map<string, Entry>();
  readonly #reserved = new Set<string>();

  /**
   * Define an object.
   * @param definition `qom-type`, `id` and the options of the type; dotted names and groups may be mixed.
   * @param signal Aborted when nobody waits any longer for it.
   * @throws BlockError (code EEXIST for an id that is taken); what the definition of a secret says is never repeated.
   */
  async add(definition: Options, signal?: AbortSignal): Promise<void> {
    const { 'qom-type': typeName, id, ...given } = definition;
    if (typeof typeName !== 'string' || typeName === '') throw new Usage("an object needs the option 'qom-type'");
    const type = await objectEntry(typeName).load();
    if (typeof id !== 'string' || id === '') throw new Usage(`object type '${typeName}' needs the option 'id'`);
    if (!isIdentifier(id)) {
      throw new Usage(`'${id}' is no valid id of an object`, {
        hint: "Letters, digits, '.', '-' and '_' make an id, a letter first",
      });
    }
    this.#assertFree(id);
    const what = `${typeName} '${id}'`;
    this.#reserved.add(id);
    try {
      const options = readOptions(type, given, what);
      const context = { id, what, object: <K extends ObjectKind>(kind: K, other: string) => this.find(kind, other) };
      const object = await type.make(options, signal ? { ...context, signal } : context);
      const shown = Object.fromEntries((type.shown ?? []).map((name) => [name, options[name] ?? '']));
      this.#entries.set(id, { id, type, object, shown, users: 0 });
    } finally {
      this.#reserved.delete(id);
    }
  }

  /** Take in an object that a program made itself. @throws BlockError with code EEXIST for an id that is taken. */
  place<O extends Options, K extends ObjectKind>({ id, type, object }: PlacedObject<O, K>): void {
    this.#assertFree(id);
    this.#entries.set(id, { id, type: type as unknown as ObjectType, object, shown: {}, users: 0 });
  }

  #assertFree(id: string): void {
    if (!this.#entries.has(id) && !this.#reserved.has(id)) return;
    throw new BlockError(`there is already an object '${id}'`, { code: 'EEXIST' });
  }

  /** The object, for one look at it. @throws BlockError with code ENOENT for an unknown id, Usage for another kind. */
  find<K extends ObjectKind>(kind: K, id: string): ObjectKinds[K] {
    return this.#entry(kind, id).object as ObjectKinds[K];
  }

  /** The object, for as long as the result is not released. @throws as {@link find}. */
  use<K extends ObjectKind>(kind: K, id: string): ObjectUse<K> {
    const entry = this.#entry(kind, id);
    entry.users++;
    let isHeld = true;
    return {
      object: entry.object as ObjectKinds[K],
      release: () => {
        if (isHeld) entry.users--;
        isHeld = false;
      },
    };
  }

  #entry(kind: ObjectKind, id: string): Entry {
    const entry = this.#entries.get(id);
    if (!entry) {
      throw new BlockError(`there is no ${KIND_NAMES[kind]} '${id}'`, {
        code: 'ENOENT',
        hint: `Define it with --object ${EXAMPLES[kind] ?? kind},id=${id},…`,
      });
    }
    if (entry.type.kind !== kind) {
      throw new Usage(`object '${id}' is of the type ${entry.type.name}, not a ${KIND_NAMES[kind]}`);
    }
    return entry;
  }

  /** @throws BlockError with code ENOENT for an unknown id, EBUSY while something holds on to the object. */
  async remove(id: string): Promise<void> {
    const entry = this.#known(id);
    if (entry.type.held && entry.users > 0) {
      throw new BlockError(`${entry.type.name} '${id}' is in use`, { code: 'EBUSY' });
    }
    this.#entries.delete(id);
    await entry.type.dispose?.(entry.object);
  }

  /** In the order of their definition. */
  list(): { readonly id: string; readonly type: string }[] {
    return [...this.#entries.values()].map(({ id, type }) => ({ id, type: type.name }));
  }

  /** @throws BlockError with code ENOENT for an unknown object or property, EPERM for one that cannot be read. */
  property(id: string, name: string): unknown {
    const { entry, property } = this.#property(id, name);
    if (property.get) return property.get(entry.object);
    throw new BlockError(`property '${name}' of ${entry.type.name} '${id}' cannot be read`, { code: 'EPERM' });
  }

  /** @throws as {@link property}, and Usage for a value that does not fit. */
  setProperty(id: string, name: string, value: unknown): void {
    const { entry, property } = this.#property(id, name);
    if (!property.set) {
      throw new BlockError(`property '${name}' of ${entry.type.name} '${id}' cannot be changed`, { code: 'EPERM' });
    }
    property.set(entry.object, value);
  }

  /** The properties of an object, readable or not. */
  properties(id: string): PropertyInfo[] {
    return propertiesOf(this.#known(id, { qmpClass: 'DeviceNotFound' }).type);
  }

  #property(id: string, name: string): { entry: Entry; property: ObjectProperty<AnyObject> } {
    const entry = this.#known(id, { qmpClass: 'DeviceNotFound' });
    if (name === 'type') return { entry, property: { get: () => entry.type.name } };
    if (Object.hasOwn(entry.shown, name)) return { entry, property: { get: () => entry.shown[name] } };
    const { properties = {} } = entry.type;
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property) return { entry, property };
    if (Object.hasOwn(fieldsOf(entry.type.options), name)) return { entry, property: {} };
    throw new BlockError(`${entry.type.name} '${id}' has no property '${name}'`, { code: 'ENOENT' });
  }

  #known(id: string, data: { readonly qmpClass?: string } = {}): Entry {
    const entry = this.#entries.get(id);
    if (entry) return entry;
    throw new BlockError(`there is no object '${id}'`, { code: 'ENOENT', data });
  }

  /** Dispose of all, the last first. */
  async close(): Promise<void> {
    const entries = [...this.#entries.values()].reverse();
    this.#entries.clear();
    const failures: unknown[] = [];
    for (const { type, object } of entries) {
      try {
        await type.dispose?.(object);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** What errors call an object of a kind. */
const KIND_NAMES: Readonly<Record<ObjectKind, string>> = {
  'throttle-group': 'throttle group',
  secret: 'secret',
  iothread: 'iothread',
  'tls-creds': 'set of credentials for TLS',
  authz: 'authorisation object',
};

/** A type for kinds that no type is named after. */
const EXAMPLES: { readonly [K in ObjectKind]?: string } = { 'tls-creds': 'tls-creds-x509', authz: 'authz-list' };

function readOptions(type: ObjectType, given: Options, what: string): Options {
  const tree = crumple(given);
  const known = fieldsOf(type.options);
  // A comma that was not doubled makes an option out of the rest of a password: the name must not come back.
  if (type.sensitive && Object.keys(tree).some((name) => !Object.hasOwn(known, name))) {
    throw new Usage(`${what} is given an option that it does not have`, {
      hint: `Its options are ${Object.keys(known).join(', ')}; a comma within a value is written twice`,
    });
  }
  return validate(type.options, tree, what);
}
