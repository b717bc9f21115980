/**
 * The types of the control socket that have names. Those of what opens a node, what makes an image and what an image
 * tells are made of the drivers' own schemas; no option is listed here.
 */
import type { CreateCapability } from '../block/creation.ts';
import type { ChildSlot, Driver, DriverList } from '../block/driver.ts';
import { commonOptions } from '../block/graph/common-options.ts';
import { filteredSlot, slotsOf } from '../block/graph/slots.ts';
import { objectEntries } from '../block/objects/object-types.ts';
import type { FieldSchema, Fields } from '../options/field.ts';
import { choice, fieldsOf, group, nodeRef, text } from '../options/fields.ts';
import { imageInfoFields } from './image-types.ts';
import { type Member, membersOf, type ObjectShape, type TypeName, type Types, unionOf } from './shape.ts';
import { blockStatsFields, deviceStatsFields } from './stats-types.ts';

const OBJECT_ID = text({ help: 'Name for others to refer to it', required: true });

export class DriverTypes {
  readonly #list: DriverList;
  #types: Promise<Types> | undefined;

  constructor(list: DriverList) {
    this.#list = list;
  }

  /** All of them; loads all drivers. */
  all(): Promise<Types> {
    this.#types ??= this.#make();
    return this.#types;
  }

  async #make(): Promise<Types> {
    const drivers = await Promise.all(this.#list.entries.map((entry) => entry.load()));
    const nodes = Object.fromEntries(drivers.map((driver) => [driver.name, nodeFields(driver)]));
    const filters = drivers.flatMap((driver) => {
      const slot = filteredSlot(driver);
      return slot ? [[driver.name, filterFields(driver, slot)]] : [];
    });
    const creations = drivers.flatMap((driver) => (driver.create ? [[driver.name, creationFields(driver)]] : []));
    const amends = drivers.flatMap((driver) => (driver.amendOptions ? [[driver.name, amendFields(driver)]] : []));
    const specific = drivers.flatMap(({ name, infoFields }) => (infoFields ? [[name, infoFields]] : []));
    const objects = await Promise.all(
      objectEntries.map(async ({ name, load }) => [name, { id: OBJECT_ID, ...fieldsOf((await load()).options) }]),
    );
    return new Map<TypeName, ObjectShape>([
      ['BlockdevOptions', unionOf('driver', nodes, commonMembers())],
      ['BlockdevFilterOptions', unionOf('driver', Object.fromEntries(filters), commonMembers())],
      ['BlockdevAmendOptions', unionOf('driver', Object.fromEntries(amends))],
      ['ObjectOptions', unionOf('qom-type', Object.fromEntries(objects))],
      ['BlockdevCreateOptions', unionOf('driver', Object.fromEntries(creations))],
      ['ImageInfo', ofFields(imageInfoFields(Object.fromEntries(specific)))],
      ['BlockStats', ofFields(blockStatsFields)],
      ['BlockDeviceStats', ofFields(deviceStatsFields)],
    ]);
  }
}

function ofFields(fields: Fields): ObjectShape {
  return { kind: 'object', members: membersOf(fields) };
}

/** Options of every node, with `cache` as the group it is on the wire. */
function commonMembers(): Member[] {
  const flat = fieldsOf(commonOptions);
  const cache = Object.fromEntries(
    Object.entries(flat).flatMap(([name, field]) => (name.startsWith('cache.') ? [[name.slice(6), field]] : [])),
  );
  const rest = Object.fromEntries(
    Object.entries(flat).filter(([name]) => name !== 'driver' && !name.startsWith('cache.')),
  );
  return membersOf({ ...rest, cache: group(cache, { help: 'How the page cache is used' }) });
}

/** Options of one driver, its children among them. */
function nodeFields(driver: Driver): Fields {
  const own = fieldsOf(driver.options);
  const slots = slotsOf(driver).map((slot): [string, FieldSchema<unknown>] => {
    const help = slot.name === 'backing' ? 'The backing file; null for none' : `The child '${slot.name}'`;
    const needed = !slot.lazy && slot.nameOption === undefined;
    return [slot.name, needed ? nodeRef({ help, required: true }) : nodeRef({ help })];
  });
  const parsed: Fields =
    driver.parseFileName && !('filename' in own) ? { filename: text({ help: 'Name with all in it' }) } : {};
  return { ...parsed, ...own, ...Object.fromEntries(slots) };
}

/** The same of a filter that is put on top of a node: it is not asked for what it filters, in whatever spelling. */
function filterFields(driver: Driver, slot: ChildSlot): Fields {
  const without = [slot.name, slot.nameOption, driver.parseFileName && 'filename'];
  return Object.fromEntries(Object.entries(nodeFields(driver)).filter(([name]) => !without.includes(name)));
}

/** The creation options of a driver under their names on the wire, and the nodes that it needs. */
function creationFields(driver: Driver): Fields {
  const { create } = driver;
  if (!create) return {};
  const renamed = Object.entries(fieldsOf(create.options)).flatMap(([name, field]) => {
    const wire = wireName(create, name);
    return wire === undefined
      ? []
      : [[wire.name, wire.values ? choice(Object.keys(wire.values), { help: wire.help }) : field]];
  });
  const file: Fields =
    driver.kind === 'format'
      ? { file: nodeRef({ help: 'Where to make it: a node, which loses its content', required: true }) }
      : { filename: text({ help: 'Path of the file to make', required: true }) };
  return { ...file, ...Object.fromEntries(renamed) };
}

interface WireName {
  readonly name: string;
  readonly values?: Readonly<Record<string, string>>;
  readonly help: string;
}

/** What a creation option is called on the wire; undefined where it is not there (a node takes its place). */
export function wireName(create: CreateCapability, option: string): WireName | undefined {
  const special = create.wire?.[option];
  if (special === null) return undefined;
  if (special) return { ...special, help: special.help };
  return { name: option.replaceAll('_', '-'), help: '' };
}

/** Creation options in command-line names from those of the wire. */
export function creationOptionsOf(
  create: CreateCapability,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const option of Object.keys(fieldsOf(create.options))) {
    const wire = wireName(create, option);
    const value = wire === undefined ? undefined : given[wire.name];
    if (value === undefined) continue;
    result[option] = wire?.values && typeof value === 'string' ? wire.values[value] : value;
  }
  return result;
}

/** What can be changed in an image, under its names on the wire. */
function amendFields(driver: Driver): Fields {
  const own = driver.amendOptions ? fieldsOf(driver.amendOptions) : {};
  return Object.fromEntries(Object.entries(own).map(([name, field]) => [name.replaceAll('_', '-'), field]));
}

/** Options to change in command-line names from those of the wire. */
export function amendOptionsOf(driver: Driver, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = driver.amendOptions ? Object.keys(fieldsOf(driver.amendOptions)) : [];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = given[name.replaceAll('_', '-')];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
