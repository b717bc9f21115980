/** Objects that nodes and servers refer to by their id. */
import { propertiesOf } from '../../block/objects/object-type.ts';
import { objectEntries } from '../../block/objects/object-types.ts';
import { BlockError } from '../../errors/block-error.ts';
import { anything, bool, group, list, text } from '../../options/fields.ts';
import type { Options } from '../../options/schema.ts';
import { type AnyCommand, command, unionCommand } from '../record.ts';
import { named } from '../shape.ts';

const required = { required: true } as const;

const add = unionCommand({
  name: 'object-add',
  help: 'Make an object',
  argument: named('ObjectOptions', anything({ help: 'Type, id and options', ...required })),
  run: (definition, { service }) => service.graph.objects.add(definition as Options),
});

const del = command({
  name: 'object-del',
  help: 'Remove an object that nothing uses',
  arguments: { id: text({ help: 'The object', ...required }) },
  run: ({ id }, { service }) => service.graph.objects.remove(id),
});

const property = group(
  { name: text({ help: 'Its name', ...required }), type: text({ help: 'Its type', ...required }) },
  { help: 'A property', ...required },
);
const path = text({ help: 'Path of the object: /objects, or /objects/ and its id, or the id', ...required });

/** The places above the objects, which have a type and members. */
const CONTAINERS = ['/', '', '/objects', 'objects'];

/** The id in a path; undefined for a container. */
function idOf(path: string): string | undefined {
  if (CONTAINERS.includes(path)) return undefined;
  return path.startsWith('/objects/') ? path.slice('/objects/'.length) : path;
}

const TYPE = { name: 'type', type: 'string' };

const qomList = command({
  name: 'qom-list',
  help: 'List the properties of an object, or the objects',
  arguments: { path },
  returns: list(property, { help: 'The properties', ...required }),
  run({ path: where }, { service: { graph } }) {
    const id = idOf(where);
    if (id !== undefined) return graph.objects.properties(id);
    if (!where.endsWith('objects')) return [TYPE, { name: 'objects', type: 'child<container>' }];
    return [TYPE, ...graph.objects.list().map((each) => ({ name: each.id, type: `child<${each.type}>` }))];
  },
});

const qomGet = command({
  name: 'qom-get',
  help: 'Read a property of an object',
  arguments: { path, property: text({ help: 'The property', ...required }) },
  returns: anything({ help: 'Its value', ...required }),
  run({ path: where, property: name }, { service: { graph } }) {
    const id = idOf(where);
    if (id !== undefined) return graph.objects.property(id, name);
    if (name === 'type') return 'container';
    throw new BlockError(`property '${name}' of '${where}' cannot be read`, { code: 'EPERM' });
  },
});

const qomSet = command({
  name: 'qom-set',
  help: 'Change a property of an object: the limits of a throttle-group, all of them or one',
  arguments: {
    path,
    property: text({ help: 'The property', ...required }),
    value: anything({ help: 'Its new value', ...required }),
  },
  run({ path: where, property: name, value }, { service: { graph } }) {
    const id = idOf(where);
    if (id === undefined) throw new BlockError(`property '${name}' of '${where}' cannot be changed`, { code: 'EPERM' });
    graph.objects.setProperty(id, name, value);
  },
});

const listTypes = command({
  name: 'qom-list-types',
  help: 'List the types of objects',
  arguments: {
    implements: text({ help: 'Only this type' }),
    abstract: bool({ help: 'Types that cannot be made too; there are none', default: false }),
  },
  returns: list(group({ name: text({ help: 'The type', ...required }) }, { help: 'A type', ...required }), {
    help: 'The types',
    ...required,
  }),
  run: ({ implements: only }) =>
    objectEntries.flatMap(({ name }) => (only === undefined || only === name ? [{ name }] : [])),
});

const listProperties = command({
  name: 'qom-list-properties',
  help: 'List the properties that objects of a type have',
  arguments: { typename: text({ help: 'The type', ...required }) },
  returns: list(property, { help: 'The properties', ...required }),
  async run({ typename }) {
    const entry = objectEntries.find(({ name }) => name === typename);
    if (entry) return propertiesOf(await entry.load());
    throw new BlockError(`there is no object type '${typename}'`, {
      code: 'ENOENT',
      data: { qmpClass: 'DeviceNotFound' },
    });
  },
});

export const objectCommands: readonly AnyCommand[] = [add, del, qomList, qomGet, qomSet, listTypes, listProperties];
