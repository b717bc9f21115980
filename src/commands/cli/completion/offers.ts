/** From what a record says of a value to the words that a shell can offer for it. */
import { cacheModeNames } from '../../../core/block/backend/cache-mode.ts';
import type { Driver } from '../../../core/block/driver.ts';
import { objectEntries } from '../../../core/block/objects/index.ts';
import { describe, type OptionHelp } from '../../../core/options/describe.ts';
import type { OptionSchema } from '../../../core/options/schema.ts';
import { driverList } from '../../../drivers/index.ts';
import { type ArgumentSpec, type Offer, type OptionSpec, offeredChoices } from '../record.ts';

/** A word and what it means. */
export interface Choice {
  readonly word: string;
  readonly help: string;
}

/** A name before the `=`, and the values after it where those are few. */
export interface Key extends Choice {
  readonly values: readonly string[];
}

/** What there is in a value `NAME=VALUE,…`, by format or by type of object. */
export type KeyTable = ReadonlyMap<string, readonly Key[]>;

export type TableName = 'create' | 'amend' | 'object';

export type Offered =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'file' }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'keys'; readonly table: TableName };

/** Names of values and arguments that say what they are. */
const FILES = /^(FILE\d?|PATH|PAGE|PICTURE|TRACE|IMAGE|TARGET|BASE|DEVICE)$/;
const KNOWN: Readonly<Record<string, Offer>> = { FMT: 'format', CACHE: cacheModeNames, OBJECT: 'object' };

/** What to offer for an option that takes a value. */
export function offeredFor(spec: OptionSpec): Promise<Offered> {
  return resolve((spec.choices && offeredChoices(spec)) ?? spec.offers ?? byName(spec.value ?? ''));
}

export function offeredForArgument(spec: ArgumentSpec): Promise<Offered> {
  return resolve(spec.offers ?? byName(spec.name));
}

function byName(name: string): Offer {
  return FILES.test(name) ? 'file' : (KNOWN[name] ?? []);
}

async function resolve(offer: Offer): Promise<Offered> {
  if (typeof offer === 'function') return resolve(await offer());
  if (typeof offer !== 'string') return offer.length === 0 ? { kind: 'nothing' } : { kind: 'words', words: offer };
  if (offer === 'file') return { kind: 'file' };
  if (offer === 'format') return { kind: 'words', words: formats() };
  if (offer === 'new-format') return { kind: 'words', words: formats(true) };
  if (offer === 'object') return { kind: 'keys', table: 'object' };
  return { kind: 'keys', table: offer === 'amend-options' ? 'amend' : 'create' };
}

/** Drivers that can stand alone as the format of an image; `creatable`, those that images can be made with. */
function formats(creatable = false): string[] {
  const fit = driverList.entries.filter((entry) => (creatable ? entry.creatable : entry.kind !== 'filter'));
  return fit.map((entry) => entry.name);
}

/** The keys of creation options by format, of amend options by format, and of objects by type. */
export async function keyTables(): Promise<Readonly<Record<TableName, KeyTable>>> {
  const drivers = await Promise.all(driverList.entries.map((entry) => entry.load()));
  const protocol = drivers.find((driver) => driver.name === 'file');
  const types = await Promise.all(objectEntries.map((entry) => entry.load()));
  const objectKeys = (schema: OptionSchema): Key[] => [
    { word: 'id', help: 'Name by which others refer to it', values: [] },
    ...keysOf([schema]).filter((key) => key.word !== 'id'),
  ];
  return {
    create: new Map(
      drivers.filter((driver) => driver.create).map((driver) => [driver.name, creation(driver, protocol)]),
    ),
    amend: new Map(
      drivers.flatMap((driver) => (driver.amendOptions ? [[driver.name, keysOf([driver.amendOptions])]] : [])),
    ),
    object: new Map(types.map((type) => [type.name, objectKeys(type.options)])),
  };
}

/** Those of a format, and those of the file it is put into, which can be given with them. */
function creation(driver: Driver, protocol: Driver | undefined): Key[] {
  const below = driver.kind === 'protocol' ? undefined : protocol?.create;
  return keysOf([driver.create, below].flatMap((create) => (create ? [create.options] : [])));
}

function keysOf(schemas: readonly OptionSchema[]): Key[] {
  const keys = new Map<string, Key>();
  for (const option of schemas.flatMap(describe)) {
    const word = option.name.replaceAll('.N', '.0');
    if (!keys.has(word)) keys.set(word, { word, help: option.help, values: valuesOf(option) });
  }
  return [...keys.values()].sort((a, b) => (a.word < b.word ? -1 : 1));
}

function valuesOf({ name, word, choices }: OptionHelp): readonly string[] {
  if (choices !== undefined) return choices;
  if (word.startsWith('bool')) return ['on', 'off'];
  return /(^|_)(fmt|format)$/.test(name) ? formats() : [];
}
