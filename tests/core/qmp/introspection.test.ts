/** What the introspection says is what is accepted: every member of every command, and nothing beside. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createImage } from '../../../src/core/job/create-image.ts';
import { fieldInfo } from '../../../src/core/options/field.ts';
import { validate } from '../../../src/core/options/parse.ts';
import { checkShape } from '../../../src/core/qmp/check-shape.ts';
import { allCommands } from '../../../src/core/qmp/commands/index.ts';
import { documentOf } from '../../../src/core/qmp/document.ts';
import { DriverTypes } from '../../../src/core/qmp/driver-types.ts';
import type { AnyCommand } from '../../../src/core/qmp/record.ts';
import type { Shape, Types } from '../../../src/core/qmp/shape.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { tempDir } from '../../support/temp.ts';
import { scene } from './client.ts';

const MiB = 1024 * 1024;

interface Info {
  readonly name: string;
  readonly 'meta-type': string;
  readonly 'arg-type'?: string;
  readonly 'ret-type'?: string;
  readonly 'element-type'?: string;
  readonly members?: readonly { readonly name?: string; readonly type?: string; readonly default?: null }[];
  readonly variants?: readonly { readonly case: string; readonly type: string }[];
  readonly values?: readonly string[];
  readonly tag?: string;
}

const types: Types = await new DriverTypes(driverList).all();

/** Every way to choose one word in a value: the value again and again, each word of each enumeration in it once. */
function* words(infos: ReadonlyMap<string, Info>, name: string, value: unknown, depth = 0): Generator<unknown> {
  const info = infos.get(name);
  if (!info || depth > 6) return;
  if (info['meta-type'] === 'enum') yield* info.values ?? [];
  else if (info['meta-type'] === 'array') {
    const item = info['element-type'] ?? '';
    for (const each of words(infos, item, sample(infos, item, depth + 1), depth + 1)) yield [each];
  } else if (info['meta-type'] === 'alternate') {
    for (const { type = '' } of info.members ?? []) {
      yield* words(infos, type, sample(infos, type, depth + 1), depth + 1);
    }
  } else if (info['meta-type'] === 'object') {
    const whole = value as Readonly<Record<string, unknown>>;
    for (const { name: key = '', type = '' } of info.members ?? []) {
      if (key === info.tag) continue;
      const inner = whole[key] ?? sample(infos, type, depth + 1);
      for (const each of words(infos, type, inner, depth + 1)) yield { ...whole, [key]: each };
    }
    const variant = info.variants?.find((each) => each.case === whole[info.tag ?? '']);
    if (variant) yield* words(infos, variant.type, value, depth + 1);
  }
}

/** A value made of nothing but what the introspection says: all required members, and the optional ones that are scalars. */
function sample(infos: ReadonlyMap<string, Info>, name: string, depth = 0): unknown {
  const info = infos.get(name);
  if (!info) throw new Error(`type '${name}' is not described`);
  switch (info['meta-type']) {
    case 'builtin':
      return { int: 1024, bool: true, str: 'text', null: null, any: 'x' }[name];
    case 'enum':
      return info.values?.[0];
    case 'array':
      return depth > 6 ? [] : [sample(infos, info['element-type'] ?? '', depth + 1)];
    case 'alternate':
      return sample(infos, info.members?.[0]?.type ?? '', depth + 1);
    default:
      return objectOf(infos, info, depth);
  }
}

function objectOf(infos: ReadonlyMap<string, Info>, info: Info, depth: number, choice = 0): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const { name = '', type = '', ...rest } of info.members ?? []) {
    if ('default' in rest && depth > 2) continue;
    value[name] = sample(infos, type, depth + 1);
  }
  const variant = info.variants?.[choice];
  if (!variant || !info.tag) return value;
  const inner = infos.get(variant.type);
  return { ...value, ...(inner ? objectOf(infos, inner, depth + 1) : {}), [info.tag]: variant.case };
}

async function infos(): Promise<ReadonlyMap<string, Info>> {
  await using made = await scene();
  const list = await made.client.run<Info[]>('query-qmp-schema');
  const map = new Map(list.map((info) => [info.name, info]));
  expect(map.size, 'no name stands for two things').toBe(list.length);
  return map;
}

describe('query-qmp-schema', () => {
  test('describes every type that it names', async () => {
    const all = await infos();
    const named = [...all.values()].flatMap((info) => [
      ...[info['arg-type'], info['ret-type'], info['element-type']].filter((each) => each !== undefined),
      ...(info.members ?? []).flatMap(({ type }) => type ?? []),
      ...(info.variants ?? []).map(({ type }) => type),
    ]);
    expect(named.filter((name) => !all.has(name))).toEqual([]);
  });

  test('lists the commands that query-commands lists', async () => {
    await using made = await scene();
    const names = (await made.client.run<Info[]>('query-commands')).map(({ name }) => name);
    const described = [...(await infos()).values()].filter((info) => info['meta-type'] === 'command');
    expect(described.map(({ name }) => name).sort()).toEqual([...names].sort());
    expect(names).toEqual([...new Set(names)]);
  });

  test.each(allCommands.map((each) => [each.name, each] as const))(
    '%s takes what is described, and nothing else',
    async (name, record) => {
      const all = await infos();
      const info = all.get(all.get(name)?.['arg-type'] ?? '');
      if (!info) throw new Error(`${name} is not described`);
      const cases = Math.max(1, info.variants?.length ?? 0);
      for (let choice = 0; choice < cases; choice++) {
        const value = objectOf(all, info, 0, choice);
        accepts(record.argumentShape, value);
        refuses(record.argumentShape, { ...value, 'no-such-member': 1 }, 'unexpected');
        for (const member of info.members ?? []) {
          if ('default' in member || member.name === undefined) continue;
          const { [member.name]: _, ...without } = value;
          refuses(record.argumentShape, without, 'is missing');
        }
      }
    },
  );

  test.each(allCommands.filter(({ schema }) => !isAny(schema)).map((each) => [each.name, each] as const))(
    '%s takes every word that is described',
    async (name, record) => {
      const all = await infos();
      const type = all.get(name)?.['arg-type'] ?? '';
      const info = all.get(type);
      if (!info) throw new Error(`${name} is not described`);
      const cases = Math.max(1, info.variants?.length ?? 0);
      for (let choice = 0; choice < cases; choice++) {
        const value = objectOf(all, info, 0, choice);
        for (const each of [value, ...words(all, type, value)]) {
          accepts(record.argumentShape, each);
          validate(record.schema, each as Record<string, unknown>, name);
        }
      }
    },
  );
});

describe('answers are of the types that are described', () => {
  test('of statistics, with histograms, intervals and nodes within nodes', async () => {
    await using made = await scene();
    const { client } = made;
    const file = join(tempDir(), 'a.qcow2');
    await createImage(made.service.graph, { driver: 'qcow2', fileName: file, options: { size: MiB } });
    await client.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'n',
      file: { driver: 'file', filename: file },
      backing: { driver: 'null-co', size: MiB },
    });
    await client.run('nbd-server-start', { addr: { type: 'unix', data: { path: join(tempDir(), 's') } } });
    const intervals = { 'stats-intervals': [1, 60] };
    await client.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 'n', ...intervals });
    await client.run('block-latency-histogram-set', { id: 'e', boundaries: [10, 20] });
    await client.run('block-latency-histogram-set', { id: 'n', boundaries: [10] });
    const [told] = await client.run<Message[]>('query-blockstats');
    expect(told).toMatchObject({
      stats: { rd_latency_histogram: { bins: [0, 0, 0] }, timed_stats: [{ avg_rd_queue_depth: 0 }, {}] },
      parent: { stats: { rd_operations: expect.any(Number) } },
      backing: { stats: { zone_append_bytes: 0 } },
    });
    await client.run('query-blockstats', { 'query-nodes': true });
    const stats = memberOf(await infos(), 'query-blockstats', 'stats');
    expect(stats.map(({ name }) => name)).toContain('wr_highest_offset');
  });

  test('of images, whatever belongs to their formats', async () => {
    await using made = await scene();
    const { client, service } = made;
    const dir = tempDir();
    await client.run('object-add', { 'qom-type': 'secret', id: 'k', data: 'open' });
    const luks = { format: 'luks', 'key-secret': 'k', 'iter-time': 10 };
    const images: readonly (readonly [string, string, object, object?])[] = [
      ['a', 'qcow2', { data_file: join(dir, 'data'), data_file_raw: true }],
      ['b', 'qcow2', { compat: '0.10' }],
      ['c', 'qcow2', { encrypt: luks, extended_l2: true }, { encrypt: { format: 'luks', 'key-secret': 'k' } }],
      ['d', 'luks', { 'key-secret': 'k', 'iter-time': 10 }, { 'key-secret': 'k' }],
    ];
    for (const [name, driver, options, open = {}] of images) {
      const filename = join(dir, name);
      await createImage(service.graph, { driver, fileName: filename, options: { size: MiB, ...options } });
      const file = { driver: 'file', filename };
      await client.run('blockdev-add', { driver, 'node-name': name, file, ...open });
    }
    await client.run('block-dirty-bitmap-add', { node: 'c', name: 'bits', persistent: true });
    await client.run('blockdev-snapshot-internal-sync', { device: 'c', name: 's' });
    await client.run('blockdev-del', { 'node-name': 'c' });
    await client.run('blockdev-add', {
      driver: 'qcow2',
      'node-name': 'c',
      file: { driver: 'file', filename: join(dir, 'c') },
      encrypt: { format: 'luks', 'key-secret': 'k' },
      backing: 'a',
    });
    const nodes = await client.run<Message[]>('query-named-block-nodes');
    expect(nodes.find((node) => node['node-name'] === 'c')).toMatchObject({
      image: {
        snapshots: [{ name: 's' }],
        'backing-image': { 'format-specific': { data: { 'data-file-raw': true } } },
        'format-specific': { data: { encrypt: { slots: { length: 8 } }, bitmaps: [{ name: 'bits' }] } },
      },
    });
    await client.run('query-named-block-nodes', { flat: true });
    const image = memberOf(await infos(), 'query-named-block-nodes', 'image');
    expect(image.map(({ name }) => name)).toContain('virtual-size');
  });
});

type Message = Readonly<Record<string, unknown>>;

/** Members of a member of what the list holds that a command answers with. */
function memberOf(all: ReadonlyMap<string, Info>, command: string, member: string): NonNullable<Info['members']> {
  const item = all.get(all.get(all.get(command)?.['ret-type'] ?? '')?.['element-type'] ?? '');
  const found = item?.members?.find(({ name }) => name === member);
  return all.get(found?.type ?? '')?.members ?? [];
}

const isAny = (schema: AnyCommand['schema']): boolean => fieldInfo(schema)?.kind === 'any';

function accepts(shape: Shape, value: unknown): void {
  checkShape(shape, value, types);
}

function refuses(shape: Shape, value: unknown, why: string): void {
  expect(() => checkShape(shape, value, types)).toThrow(why);
}

test('docs/qmp.md is in step with the records', () => {
  const path = join(import.meta.dirname, '..', '..', '..', 'docs', 'qmp.md');
  const page = documentOf(types);
  if (process.env.BLOCKYARD_UPDATE === '1') writeFileSync(path, page);
  expect(readFileSync(path, 'utf8'), 'run with BLOCKYARD_UPDATE=1 to write it anew').toBe(page);
});
