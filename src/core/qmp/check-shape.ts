/** Is a value of the form that is asked for: strictly by the types of JSON, unlike options on a command line. */
import { Usage } from '../errors/block-error.ts';
import { suggestion } from '../options/closest.ts';
import { isRecord } from '../options/field.ts';
import { type Member, NOTHING, type ObjectShape, type Shape, type Types } from './shape.ts';

/** Longest value that is repeated in a message, in characters. */
const SHOWN = 80;

/** Throws, naming the parameter, where `value` is not of `shape`. */
export function checkShape(shape: Shape, value: unknown, types: Types, name = ''): void {
  switch (shape.kind) {
    case 'any':
      return;
    case 'int':
      if (!isWhole(value)) throw wrongType(name, 'integer');
      return;
    case 'number':
      if (typeof value !== 'number' && typeof value !== 'bigint') throw wrongType(name, 'number');
      return;
    case 'bool':
      if (typeof value !== 'boolean') throw wrongType(name, 'boolean');
      return;
    case 'str':
      if (typeof value !== 'string') throw wrongType(name, 'string');
      return;
    case 'null':
      if (value !== null) throw wrongType(name, 'null');
      return;
    case 'enum':
      if (typeof value !== 'string') throw wrongType(name, 'string');
      if (!shape.values.includes(value) && !shape.refused?.includes(value))
        throw unknownWord(name, value, shape.values);
      return;
    case 'list':
      if (!Array.isArray(value)) throw wrongType(name, 'array');
      for (const [index, item] of value.entries()) checkShape(shape.item, item, types, `${name}[${index}]`);
      return;
    case 'object':
      checkObject(shape, value, types, name);
      return;
    case 'named':
      checkObject(types.get(shape.name) ?? NOTHING, value, types, name);
      return;
    case 'either': {
      const form = shape.forms.find((each) => fits(each, value));
      if (!form) throw wrongType(name, shape.forms.map(wordFor).join(' or '));
      checkShape(form, value, types, name);
    }
  }
}

function checkObject(shape: ObjectShape, value: unknown, types: Types, name: string): void {
  if (!isRecord(value)) throw wrongType(name, 'object');
  const members = new Map(shape.members.map((member) => [member.name, member]));
  if (shape.tag !== undefined) {
    const tag = members.get(shape.tag);
    if (tag) checkMember(tag, value, types, name);
    for (const member of shape.cases?.get(String(value[shape.tag])) ?? []) members.set(member.name, member);
  }
  for (const key of Object.keys(value)) {
    if (members.has(key)) continue;
    const followUp = suggestion(key, members.keys());
    throw new Usage(`Parameter '${short(path(name, key))}' is unexpected`, { followUp });
  }
  for (const member of members.values()) checkMember(member, value, types, name);
}

function checkMember(member: Member, value: Readonly<Record<string, unknown>>, types: Types, name: string): void {
  const full = path(name, member.name);
  if (Object.hasOwn(value, member.name)) checkShape(member.shape, value[member.name], types, full);
  else if (!member.optional) throw new Usage(`Parameter '${full}' is missing`);
}

/** Limits are checked by the field. */
function isWhole(value: unknown): boolean {
  return typeof value === 'number' ? Number.isInteger(value) : typeof value === 'bigint';
}

function fits(shape: Shape, value: unknown): boolean {
  switch (shape.kind) {
    case 'int':
      return isWhole(value);
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint';
    case 'bool':
      return typeof value === 'boolean';
    case 'str':
    case 'enum':
      return typeof value === 'string';
    case 'null':
      return value === null;
    case 'list':
      return Array.isArray(value);
    case 'object':
    case 'named':
      return isRecord(value);
    default:
      return true;
  }
}

const WORDS: Readonly<Record<Shape['kind'], string>> = {
  int: 'integer',
  number: 'number',
  bool: 'boolean',
  str: 'string',
  enum: 'string',
  null: 'null',
  list: 'array',
  object: 'object',
  named: 'object',
  either: 'value',
  any: 'value',
};

function wordFor(shape: Shape): string {
  return WORDS[shape.kind];
}

function path(name: string, key: string): string {
  return name === '' ? key : `${name}.${key}`;
}

function wrongType(name: string, expected: string): Usage {
  return new Usage(`Invalid parameter type for '${name}', expected: ${expected}`);
}

function unknownWord(name: string, value: string, words: readonly string[]): Usage {
  const followUp = suggestion(value, words);
  return new Usage(`Parameter '${name}' does not accept value '${short(value)}'`, { followUp });
}

function short(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
