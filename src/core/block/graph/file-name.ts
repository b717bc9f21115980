/** File names: what protocol they carry, how relative ones resolve, and what a node is called to a user. */
import path from 'node:path';
import { BlockError } from '../../errors/block-error.ts';
import { formatJsonName } from '../../options/json-name.ts';
import { isExplicit } from '../../options/parse.ts';
import type { Node } from './node.ts';

/** Whatever stands before a colon, unless a slash comes first. */
const SCHEME = /^([^:/]*):/;

/** The `nbd` of `nbd://…` or `nbd:…`; undefined for plain paths, also those with a colon after a slash. */
export function schemeOf(name: string): string | undefined {
  return SCHEME.exec(name)?.[1]?.toLowerCase();
}

export function hasProtocol(name: string): boolean {
  return schemeOf(name) !== undefined;
}

/** The path of a plain or `file:` name; undefined for other protocols. */
export function localPath(name: string): string | undefined {
  const scheme = schemeOf(name);
  if (scheme === undefined) return name;
  return scheme === 'file' ? name.slice('file:'.length) : undefined;
}

/** `name` as found in the header of `parent`, relative to the directory of `parent`. */
export function resolveName(parent: string, name: string): string {
  if (hasProtocol(name) || path.isAbsolute(name)) return name;
  const base = localPath(parent);
  if (base === undefined) {
    throw new BlockError(`relative name '${name}' cannot be resolved against '${parent}'`, {
      hint: 'Use an absolute name',
    });
  }
  const slash = base.lastIndexOf('/');
  return slash < 0 ? name : base.slice(0, slash + 1) + name;
}

/** Options of a node that decide what data it shows, as far as they were given. */
function strongOptions(node: Node): [string, unknown][] {
  const strong = node.driver.strongOptions ?? [];
  return Object.entries(node.options).filter(([key]) => strong.includes(key) && isExplicit(node.options, key));
}

/** The name a user can open the same node by: a plain name where that says it all, else `json:{…}`. */
export function displayName(node: Node): string {
  const shown = belowJobFilters(node);
  return plainName(shown) ?? formatJsonName(describeOptions(shown));
}

/** What jobs put into the graph is gone when they end: no name tells of it. */
function belowJobFilters(node: Node): Node {
  let shown = node;
  for (let next = shown.passedOn; next && shown.owner; next = shown.passedOn) shown = next.node;
  return shown;
}

function plainName(node: Node): string | undefined {
  const strong = strongOptions(node);
  if (node.driver.kind === 'protocol') {
    return node.fileName !== '' && strong.every(([key]) => node.nameSays.has(key)) ? node.fileName : undefined;
  }
  if (node.driver.kind === 'filter') {
    const childName = (edge: string): string | undefined => {
      const child = node.child(edge)?.node;
      return child && plainName(child);
    };
    return node.driver.nameFor?.(node.options, childName);
  }
  if (strong.length > 0 || backingDiffers(node)) return undefined;
  const file = node.child('file')?.node;
  return file === undefined || file.driver.kind === 'format' ? undefined : plainName(file);
}

/** The backing file was chosen by somebody, and is not the one that the image itself names. */
function backingDiffers(node: Node): boolean {
  if (!node.backing || !node.backingOverridden) return false;
  const below = belowJobFilters(node.backing.node);
  const { fileName, format } = node.image.backing ?? {};
  if (fileName === undefined || format !== below.driver.name || plainName(below) === undefined) return true;
  const home = node.child('file')?.node.fileName ?? node.fileName;
  return hasProtocol(home) || resolveName(home, fileName) !== below.fileName;
}

function describeOptions(node: Node): Record<string, unknown> {
  const described: Record<string, unknown> = { driver: node.driver.name, ...Object.fromEntries(strongOptions(node)) };
  for (const edge of node.children.values()) {
    if (edge.name === 'backing' && !backingDiffers(node)) continue;
    const below = belowJobFilters(edge.node);
    const [list = edge.name, index] = edge.name.split('.');
    if (index === undefined) described[list] = describeOptions(below);
    else described[list] = [...((described[list] as unknown[] | undefined) ?? []), describeOptions(below)];
  }
  return described;
}
