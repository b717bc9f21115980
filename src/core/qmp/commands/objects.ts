/** Objects that nodes and servers refer to by their id. */

import { Usage } from '../../errors/block-error.ts';
import { anything, bool, group, list, text } from '../../options/fields.ts';
import { objectOptions } from '../objects.ts';
import { type AnyCommand, command, unionCommand } from '../record.ts';

const required = { required: true } as const;

const add = unionCommand({
  name: 'object-add',
  help: 'Make an object',
  argument: objectOptions,
  run({ 'qom-type': type, id, ...options }, { service }) {
    service.objects.add(type, id, options);
  },
});

const del = command({
  name: 'object-del',
  help: 'Remove an object that nothing uses',
  arguments: { id: text({ help: 'The object', ...required }) },
  run: ({ id }, { service }) => service.objects.remove(id),
});

const property = group(
  { name: text({ help: 'Its name', ...required }), type: text({ help: 'Its type', ...required }) },
  { help: 'A property', ...required },
);
const path = text({ help: 'Path of the object: /objects, or /objects/ and its id, or the id', ...required });

const qomList = command({
  name: 'qom-list',
  help: 'List the properties of an object, or the objects',
  arguments: { path },
  returns: list(property, { help: 'The properties', ...required }),
  run: ({ path: where }, { service }) => service.objects.list(where),
});

const qomGet = command({
  name: 'qom-get',
  help: 'Read a property of an object',
  arguments: { path, property: text({ help: 'The property', ...required }) },
  returns: anything({ help: 'Its value', ...required }),
  run: (args, { service }) => service.objects.get(args.path, args.property),
});

const qomSet = command({
  name: 'qom-set',
  help: 'Change a property of an object: the limits of a throttle-group, all of them or one',
  arguments: {
    path,
    property: text({ help: 'The property', ...required }),
    value: anything({ help: 'Its new value', ...required }),
  },
  run(args, { service }) {
    if (args.value === undefined) throw new Usage("Parameter 'value' is missing");
    service.objects.set(args.path, args.property, args.value);
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
  run: ({ implements: only }, { service }) =>
    service.objects.types.filter((name) => only === undefined || only === name).map((name) => ({ name })),
});

const listProperties = command({
  name: 'qom-list-properties',
  help: 'List the properties that objects of a type have',
  arguments: { typename: text({ help: 'The type', ...required }) },
  returns: list(property, { help: 'The properties', ...required }),
  run: ({ typename }, { service }) => service.objects.propertiesOf(typename),
});

export const objectCommands: readonly AnyCommand[] = [add, del, qomList, qomGet, qomSet, listTypes, listProperties];
