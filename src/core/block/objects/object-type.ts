/** What a type of user object is: one record, from which come checks, help and introspection. */
import type { Authorizer } from '../../crypto/authorizer.ts';
import type { Secret } from '../../crypto/secret.ts';
import type { TlsCredentials } from '../../crypto/tls-credentials.ts';
import { type FieldKind, fieldInfo } from '../../options/field.ts';
import type { OptionSchema, Options } from '../../options/schema.ts';
import { fieldsOf } from '../../options/structures.ts';
import type { ThrottleGroup } from '../throttle/group.ts';

/**
 * What users of objects ask for, and what they get. Several types may be of one kind: a secret comes from the command
 * line or from the kernel's keyring.
 */
export interface ObjectKinds {
  'throttle-group': ThrottleGroup;
  secret: Secret;
  iothread: IoThread;
  'tls-creds': TlsCredentials;
  authz: Authorizer;
}
export type ObjectKind = keyof ObjectKinds;

/** A name for a thread; it has no state. */
export interface IoThread {
  readonly id: string;
}

/** What `make` has at hand. */
export interface ObjectContext {
  readonly id: string;
  /** How errors call the object: `secret 'sec0'`. */
  readonly what: string;
  /** Another object that this one refers to. @throws BlockError with code ENOENT for an unknown one. */
  object<K extends ObjectKind>(kind: K, id: string): ObjectKinds[K];
  /** Aborted when nobody waits any longer for the object. */
  readonly signal?: AbortSignal;
}

/** A property that can be looked at or changed while the object exists, under its option's name. */
export interface ObjectProperty<T> {
  /** What lists of properties call its type; by default that of the field. */
  readonly type?: string;
  get?(object: T): unknown;
  /** @throws Usage for a value that does not fit; the object is then as before. */
  set?(object: T, value: unknown): void;
}

export interface ObjectType<O extends Options = Options, K extends ObjectKind = ObjectKind> {
  readonly name: string;
  readonly kind: K;
  readonly options: OptionSchema<O>;
  /** Its options may hold what must not be shown, so an error never repeats what was typed. */
  readonly sensitive?: boolean;
  /** Options that anybody may read as they were given. */
  readonly shown?: readonly (keyof O & string)[];
  /** Users hold on to the object rather than read it once, so it stays while it has any. */
  readonly held?: boolean;
  /** The object, ready for use. @throws BlockError, with nothing left behind. */
  make(options: O, context: ObjectContext): Promise<ObjectKinds[K]> | ObjectKinds[K];
  readonly properties?: Readonly<Record<string, ObjectProperty<ObjectKinds[K]>>>;
  dispose?(object: ObjectKinds[K]): Promise<void> | void;
}

/** What is known of a type without loading it. */
export interface ObjectEntry {
  readonly name: string;
  /** One line for help. */
  readonly summary: string;
  readonly load: () => Promise<ObjectType>;
}

export interface PropertyInfo {
  readonly name: string;
  /** `int`, `bool`, `string`, or the name of a group. */
  readonly type: string;
}

const TYPES: { readonly [K in FieldKind]?: string } = { size: 'int', integer: 'int', bool: 'bool', group: 'struct' };

/** What objects of a type have, by name. */
export function propertiesOf(type: ObjectType): PropertyInfo[] {
  const properties = Object.entries(fieldsOf(type.options)).map(([name, field]) => ({
    name,
    type: type.properties?.[name]?.type ?? TYPES[fieldInfo(field)?.kind ?? 'text'] ?? 'string',
  }));
  return [{ name: 'type', type: 'string' }, ...properties].sort((a, b) => (a.name < b.name ? -1 : 1));
}
