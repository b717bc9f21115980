/**
 * Options: how the settings of drivers, creations, jobs and commands are described, read and explained.
 *
 * A schema (`defineOptions`) is the one description of a record of options; from it come the TypeScript type,
 * the validation and its error (`validate`), and the help (`describe`). The three notations that people write —
 * `key=value,…`, dotted keys, `json:{…}` — are read here into plain trees. Nothing here knows any particular
 * driver or command.
 */
export * from './closest.ts';
export * from './describe.ts';
export { type FieldInfo, type FieldSchema, type Fields, fieldInfo, isRecord } from './field.ts';
export * from './fields.ts';
export { formatJson, parseJson } from './json.ts';
export * from './json-name.ts';
export * from './keyval.ts';
export { explicitNames, isExplicit, validate } from './parse.ts';
export type { OptionSchema, Options } from './schema.ts';
export { crumple, flatten } from './tree.ts';
