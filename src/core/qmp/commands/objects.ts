/** Objects that nodes and servers refer to by their id. */
import { objectEntries, objectEntry } from '../../block/objects/object-types.ts';
import { BlockError } from '../../errors/block-error.ts';
import { fieldInfo } from '../../options/field.ts';
import { anything, bool, fieldsOf, group, list, text } from '../../options/fields.ts';
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

/** The id in a path; undefined for the containers above the objects. */
function idOf(path: string): string | undefined {
  if (path === '/' || path === '/objects' || path === '') return undefined;
  return path.startsWith('/objects/') ? path.slice('/objects/'.length) : path;
}

function existing(path: string): string {
  const id = idOf(path);
  if (id === undefined) throw new BlockError(`'${path}' is no object`, { code: 'ENOENT' });
  return id;
}

const qomList = command({
  name: 'qom-list',
  help: 'List the properties of an object, or the objects',
  arguments: { path },
  returns: list(property, { help: 'The properties', ...required }),
  run({ path: where }, { service: { graph } }) {
    const id = idOf(where);
    if (id !== undefined)
      return graph.objects.properties(id).map((name) => ({ name, type: name === 'type' ? 'string' : 'any' }));
    if (where !== '/objects') return [{ name: 'objects', type: 'child<container>' }];
    return graph.objects.list().map((each) => ({ name: each.id, type: `child<${each.type}>` }));
  },
});

const qomGet = command({
  name: 'qom-get',
  help: 'Read a property of an object',
  arguments: { path, property: text({ help: 'The property', ...required }) },
  returns: anything({ help: 'Its value', ...required }),
  run: (args, { service: { graph } }) => graph.objects.property(existing(args.path), args.property),
});

const qomSet = command({
  name: 'qom-set',
  help: 'Change a property of an object: the limits of a throttle-group, all of them or one',
  arguments: {
    path,
    property: text({ help: 'The property', ...required }),
    value: anything({ help: 'Its new value', ...required }),
  },
  run: (args, { service: { graph } }) => graph.objects.setProperty(existing(args.path), args.property, args.value),
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
    const { options } = await objectEntry(typename).load();
    return Object.entries(fieldsOf(options)).map(([name, field]) => ({ name, type: fieldInfo(field)?.kind ?? 'any' }));
  },
});

export const objectCommands: readonly AnyCommand[] = [add, del, qomList, qomGet, qomSet, listTypes, listProperties];
