/** `throttle-group`: limits that its members keep to together. */
import { Usage } from '../../errors/block-error.ts';
import { isRecord } from '../../options/field.ts';
import type { Options } from '../../options/schema.ts';
import { fieldsOf } from '../../options/structures.ts';
import { ThrottleGroup } from '../throttle/group.ts';
import { groupLimits, groupOptions, optionsFrom } from '../throttle/limits.ts';
import type { ObjectProperty, ObjectType } from './object-type.ts';

const PREFIX = 'x-';

/** All limits at once; those that a new value does not name stay as they are. */
const limits: ObjectProperty<ThrottleGroup> = {
  type: 'ThrottleLimits',
  get: (group) => optionsFrom(group.limits),
  set(group, value) {
    if (!isRecord(value)) throw new Usage("property 'limits' of a throttle-group expects a group of limits");
    group.limits = groupLimits({ limits: { ...optionsFrom(group.limits), ...value } }, 'the throttle-group');
  },
};

/** One limit, to look at. */
function single(name: string): ObjectProperty<ThrottleGroup> {
  return { get: (group) => new Map(Object.entries(optionsFrom(group.limits))).get(name.slice(PREFIX.length)) };
}

const singles = Object.keys(fieldsOf(groupOptions)).filter((name) => name.startsWith(PREFIX));

export const throttleGroup: ObjectType<Options, 'throttle-group'> = {
  name: 'throttle-group',
  kind: 'throttle-group',
  options: groupOptions,
  held: true,
  make: (options, { what }) => new ThrottleGroup(groupLimits(options, what)),
  properties: { limits, ...Object.fromEntries(singles.map((name) => [name, single(name)])) },
};
