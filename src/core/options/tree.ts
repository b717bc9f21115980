/**
 * Dotted keys to a tree and back: `file.filename=x` is `{ file: { filename: x } }`, `children.0=a,children.1=b`
 * is a list. Both notations may be mixed, in one record and at any depth.
 */
import { Usage } from '../errors/block-error.ts';
import { isRecord, show } from './field.ts';

/** Deepest nesting that is accepted; no graph that makes sense comes near it. */
export const MAX_DEPTH = 128;

/**
 * @throws Usage for an option that is both a value and a group, that is given twice, that has an empty part in
 * its name, or whose list numbers have gaps.
 */
export function crumple(flat: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const root = new Branch();
  insertAll(root, flat, []);
  return root.toRecord('');
}

class Branch {
  readonly children = new Map<string, Branch | Leaf>();
  /** It was written as a list, or as an empty group: what it is does not follow from its keys. */
  shape: 'list' | 'group' | undefined;

  /** A list when all keys are numbers, else a record. */
  toValue(name: string): Record<string, unknown> | unknown[] {
    const keys = [...this.children.keys()];
    const numbers = keys.filter((key) => /^\d+$/.test(key)).length;
    if (this.shape === 'list' || (numbers > 0 && numbers === keys.length)) return this.#toList(name, keys);
    if (numbers > 0) throw new Usage(`option '${name}' mixes list elements and named options`);
    return this.toRecord(name);
  }

  toRecord(name: string): Record<string, unknown> {
    return Object.fromEntries([...this.children.keys()].map((key) => [key, this.#childValue(name, key)]));
  }

  #toList(name: string, keys: readonly string[]): unknown[] {
    const missing = keys.findIndex((_, index) => !this.children.has(String(index)));
    if (missing >= 0) throw new Usage(`list '${name}' has ${keys.length} elements, but none numbered ${missing}`);
    return keys.map((_, index) => this.#childValue(name, String(index)));
  }

  #childValue(name: string, key: string): unknown {
    const child = this.children.get(key);
    return child instanceof Branch ? child.toValue(name === '' ? key : `${name}.${key}`) : child?.value;
  }
}

class Leaf {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = value;
  }
}

function insertAll(branch: Branch, record: Readonly<Record<string, unknown>>, path: readonly string[]): void {
  for (const [key, value] of Object.entries(record)) insert(branch, path, key.split('.'), value);
}

function insert(from: Branch, path: readonly string[], parts: readonly string[], value: unknown): void {
  const full = [...path, ...parts];
  const name = full.join('.');
  if (full.length > MAX_DEPTH) throw new Usage(`option ${show(name)} is nested deeper than ${MAX_DEPTH} levels`);
  if (parts.includes('') || parts.includes('__proto__')) throw new Usage(`${show(name)} is no valid option name`);
  let branch = from;
  for (const [index, part] of parts.slice(0, -1).entries()) {
    branch = descend(branch, part, full.slice(0, path.length + index + 1).join('.'), name);
  }
  const key = parts.at(-1) ?? '';
  if (Array.isArray(value) || isRecord(value)) {
    const child = descend(branch, key, name, name);
    child.shape = Array.isArray(value) ? 'list' : 'group';
    insertAll(child, Array.isArray(value) ? Object.fromEntries(value.entries()) : value, full);
    return;
  }
  const there = branch.children.get(key);
  if (there instanceof Branch) throw bothError(name, firstName(there, name));
  if (there) throw new Usage(`option '${name}' is given twice`);
  branch.children.set(key, new Leaf(value));
}

function descend(branch: Branch, part: string, name: string, full: string): Branch {
  const there = branch.children.get(part);
  if (there instanceof Branch) return there;
  if (there) throw bothError(name, full);
  const made = new Branch();
  branch.children.set(part, made);
  return made;
}

function bothError(name: string, full: string): Usage {
  if (name === full) return new Usage(`option '${name}' is given both as a value and as a group`);
  return new Usage(`options '${name}' and '${full}' contradict each other`, {
    hint: `Give either a node name as '${name}' or its options as '${name}.…'`,
  });
}

function firstName(branch: Branch, name: string): string {
  const key = branch.children.keys().next().value;
  return key === undefined ? name : `${name}.${key}`;
}

/** The inverse of {@link crumple}: scalars under dotted keys. Empty groups and lists stay as they are. */
export function flatten(tree: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const flat: [string, unknown][] = [];
  const walk = (value: unknown, name: string): void => {
    const members: [string | number, unknown][] = Array.isArray(value)
      ? [...value.entries()]
      : isRecord(value)
        ? Object.entries(value)
        : [];
    if (members.length === 0) flat.push([name, value]);
    if (name.split('.').length > MAX_DEPTH) throw new Usage(`options are nested deeper than ${MAX_DEPTH} levels`);
    for (const [key, member] of members) walk(member, name === '' ? String(key) : `${name}.${key}`);
  };
  for (const [key, value] of Object.entries(tree)) walk(value, key);
  return Object.fromEntries(flat);
}
