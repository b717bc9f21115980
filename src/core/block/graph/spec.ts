/**
 * What to open, in one shape: a tree of options. File names, `json:` names, `key=value` strings and
 * objects of a program all become a {@link NodeSpec} here, and nothing else understands them.
 */
import { BlockError } from '../../errors/block-error.ts';
import { parseJsonName } from '../../options/json-name.ts';
import { parseKeyValues } from '../../options/keyval.ts';
import { crumple } from '../../options/tree.ts';
import type { DriverEntry, DriverList } from '../driver.ts';
import { schemeOf } from './file-name.ts';

/** Options of a node; a child is a node-name or a spec of its own, null for "none". */
export interface NodeSpec {
  readonly [option: string]: unknown;
  readonly driver?: string;
}

/** From what a user typed to a spec: a file name with an optional format, or an option string. */
export function specFromFileName(drivers: DriverList, name: string, driver?: string): NodeSpec {
  const json = schemeOf(name) === 'json' ? parseJsonName(name) : undefined;
  if (json) {
    const spec = crumpleSpec(json);
    if (driver === undefined || spec.driver === driver) return spec;
    if (spec.driver === undefined) return { ...spec, driver };
    const own = entryOf(drivers, spec.driver);
    if (own.kind === 'protocol') return { driver, file: spec };
    throw new BlockError(`'${name}' names driver '${spec.driver}', but format '${driver}' was asked for`);
  }
  const file = protocolSpec(drivers, name);
  if (driver === undefined) return { file };
  if (file.driver === driver) return file;
  const { kind, schemes } = entryOf(drivers, driver);
  // Some filters read names themselves (blkdebug:…).
  return kind === 'protocol' || schemes ? { ...file, driver } : { driver, file };
}

/** From an option string as `--image-opts` takes it. */
export function specFromOptions(text: string): NodeSpec {
  return crumpleSpec(parseKeyValues(text, { impliedKey: 'file' }));
}

/** Options given flat, with dotted keys, as a tree. */
export function crumpleSpec(flat: Readonly<Record<string, unknown>>): NodeSpec {
  return crumple(flat) as NodeSpec;
}

/** Options of the protocol node for a name. */
export function protocolSpec(drivers: DriverList, name: string): NodeSpec {
  const scheme = schemeOf(name);
  if (scheme === 'json') return crumpleSpec(parseJsonName(name));
  if (scheme === undefined) return hostFileSpec(drivers, name);
  if (scheme === 'file') return hostFileSpec(drivers, name.slice('file:'.length));
  const entry = drivers.entries.find((each) => each.schemes?.includes(scheme));
  if (!entry) throw new BlockError(`unknown protocol '${scheme}' in '${name}'`, { code: 'ENOENT' });
  return { driver: entry.name, [FILE_NAME_TO_PARSE]: name };
}

/** Options of the node for a file or device of the host, at `path` whatever colons that has; they get a `./` before them. */
export function hostFileSpec(drivers: DriverList, path: string): NodeSpec {
  if (path === '') throw new BlockError('a file name must not be empty', { code: 'ENOENT' });
  const filename = schemeOf(path) === undefined ? path : `./${path}`;
  return { driver: drivers.protocolForPath(filename), filename };
}

/** A file name that the driver itself turns into options once it is loaded. */
export const FILE_NAME_TO_PARSE = '!filename';

export function entryOf(drivers: DriverList, name: string): DriverEntry {
  const entry = drivers.entries.find((each) => each.name === name);
  if (!entry) throw new BlockError(`unknown driver '${name}'`, { code: 'ENOENT' });
  return entry;
}

/** Do these options say what to open, or only how. */
export function namesContent(drivers: DriverList, options: Readonly<Record<string, unknown>>): boolean {
  if (options.file !== undefined || options.filename !== undefined) return true;
  const entry = drivers.entries.find((each) => each.name === options.driver);
  return entry?.kind === 'protocol';
}

/** A spec that gives just a file name gets the protocol for it, below a format to be probed where `plain` is false. */
export function withProtocol(drivers: DriverList, spec: NodeSpec, plain: boolean): NodeSpec {
  const { filename, [FILE_NAME_TO_PARSE]: typed, ...rest } = spec;
  const kind = spec.driver === undefined ? undefined : entryOf(drivers, spec.driver).kind;
  if (spec.file !== undefined || (kind !== undefined && kind !== 'format')) return spec;
  const name = typed ?? filename;
  if (typeof name !== 'string') return spec;
  // A name among options is the path as it stands; only one in the place of all options may carry a protocol.
  const file = name === typed ? protocolSpec(drivers, name) : hostFileSpec(drivers, name);
  if (kind === 'format') return { ...rest, file };
  return plain ? { ...file, ...rest } : { file, ...rest };
}
