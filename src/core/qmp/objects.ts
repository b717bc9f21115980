/** The objects of a program in the words of the control socket. */
import type { BlockGraph } from '../block/graph/block-graph.ts';
import { groupLimits, limitFields, ThrottleGroup } from '../block/throttling.ts';
import { BlockError, Usage } from '../errors/block-error.ts';
import { isRecord } from '../options/field.ts';
import { group, text, variant } from '../options/fields.ts';

const required = { required: true } as const;
const id = text({ help: 'Name for others to refer to it', ...required, nonEmpty: true });

const prefixed = Object.fromEntries(Object.entries(limitFields).map(([name, field]) => [`x-${name}`, field]));

/** What `object-add` takes, by the type. */
export const objectOptions = variant(
  'qom-type',
  { 'throttle-group': { id, limits: group(limitFields, { help: 'The limits' }) } },
  { help: 'An object', ...required, keyHelp: 'Type of the object' },
);

interface Property {
  readonly name: string;
  readonly type: string;
}

/** Objects by id. */
export class Objects {
  readonly types = ['throttle-group'] as const;
  readonly #graph: BlockGraph;

  constructor(graph: BlockGraph) {
    this.#graph = graph;
  }

  add(_type: 'throttle-group', id: string, options: Readonly<Record<string, unknown>>): void {
    if (this.#graph.throttleGroups.has(id))
      throw new BlockError(`there is already an object '${id}'`, { code: 'EEXIST' });
    const { limits = {} } = options;
    const found = groupLimits({ limits }, `throttle-group '${id}'`);
    this.#graph.throttleGroups.set(id, new ThrottleGroup(found));
  }

  remove(id: string): void {
    const found = this.#graph.throttleGroups.get(id);
    if (!found) throw noObject(id);
    if (found.members > 0) {
      throw new BlockError(`object '${id}' is in use by ${found.members} of its members`, { code: 'EBUSY' });
    }
    this.#graph.throttleGroups.delete(id);
  }

  list(path: string): Property[] {
    if (path === '/' || path === '') return [{ name: 'objects', type: 'child<container>' }];
    if (path === '/objects') {
      return [...this.#graph.throttleGroups.keys()].map((name) => ({ name, type: 'child<throttle-group>' }));
    }
    this.#find(path);
    return this.propertiesOf('throttle-group');
  }

  propertiesOf(type: string): Property[] {
    if (type !== 'throttle-group') throw new BlockError(`there is no object type '${type}'`, { code: 'ENOENT' });
    return [
      { name: 'type', type: 'string' },
      { name: 'limits', type: 'ThrottleLimits' },
      ...Object.keys(prefixed).map((name) => ({ name, type: 'int' })),
    ];
  }

  get(path: string, property: string): unknown {
    const limits = valuesOf(this.#find(path));
    if (property === 'type') return 'throttle-group';
    if (property === 'limits') return limits;
    const value = property.startsWith('x-') ? limits[property.slice(2)] : undefined;
    if (value === undefined) throw noProperty(path, property);
    return value;
  }

  set(path: string, property: string, value: unknown): void {
    const found = this.#find(path);
    if (property === 'limits') {
      if (!isRecord(value)) throw new Usage("Invalid parameter type for 'value', expected: object");
      found.limits = groupLimits({ limits: value }, `object '${path}'`);
      return;
    }
    if (!Object.hasOwn(prefixed, property)) throw noProperty(path, property);
    found.limits = groupLimits({ limits: { ...valuesOf(found), [property.slice(2)]: value } }, `object '${path}'`);
  }

  #find(path: string): ThrottleGroup {
    const name = path.startsWith('/objects/') ? path.slice('/objects/'.length) : path;
    const found = this.#graph.throttleGroups.get(name);
    if (!found) throw noObject(path);
    return found;
  }
}

function valuesOf({ limits }: ThrottleGroup): Record<string, number> {
  const flat: Record<string, number> = {};
  for (const [name, { average, max, maxLength }] of Object.entries(limits.buckets)) {
    flat[name] = average;
    flat[`${name}-max`] = max;
    flat[`${name}-max-length`] = maxLength;
  }
  flat['iops-size'] = limits.operationSize;
  return flat;
}

function noObject(name: string): BlockError {
  return new BlockError(`there is no object '${name}'`, { code: 'ENOENT', data: { qmpClass: 'DeviceNotFound' } });
}

function noProperty(path: string, property: string): BlockError {
  return new BlockError(`object '${path}' has no property '${property}'`, { code: 'ENOENT' });
}
