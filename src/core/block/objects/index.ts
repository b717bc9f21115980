/**
 * User objects: what a command line (`--object`), a program or the control socket defines beside the images, for
 * images, servers and clients to refer to by id — limits, secrets, credentials.
 *
 * Here belong the record of each type, the list of types (each loaded when first used), the store of a graph, and
 * the help that follows from the records. What an object does lies in the room it is about (throttle, crypto, nbd).
 * A type is added as a record in a file of its own, a line in `object-types.ts` and its kind in `object-type.ts`.
 */
export { objectHelp } from './object-help.ts';
export { ObjectStore, type ObjectUse } from './object-store.ts';
export type { ObjectContext, ObjectKind, ObjectKinds, ObjectType } from './object-type.ts';
export { objectEntries } from './object-types.ts';
