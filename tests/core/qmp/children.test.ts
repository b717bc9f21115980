/** Children of a quorum that come and go, and what headers say of backing files without a format. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { tempDir } from '../../support/temp.ts';
import { chain, ends, reaches, userOf } from './chain.ts';
import { type Scene, scene } from './client.ts';

const SIZE = 1024 * 1024;

test('x-blockdev-change gives a quorum in use another child, and takes one away', async () => {
  await using made = await scene();
  const { client, service } = made;
  const dir = tempDir();
  const file = (name: string): object => {
    const filename = path.join(dir, name);
    fs.writeFileSync(filename, Buffer.alloc(SIZE, 1));
    return { driver: 'file', 'node-name': name, filename };
  };
  await client.run('blockdev-add', {
    driver: 'quorum',
    'node-name': 'q',
    'vote-threshold': 2,
    children: [file('a'), file('b')],
  });
  for (const name of ['c', 'd']) await client.run('blockdev-add', file(name));
  const user = userOf(made, 'q');
  const change = (args: object) => client.run('x-blockdev-change', { parent: 'q', ...args });
  const refused = (args: object) => client.refusal('x-blockdev-change', { parent: 'q', ...args });
  expect(await refused({ child: 'children.0' })).toMatch(/vote-threshold says, 2/);
  await change({ node: 'c' });
  await user.write(0, Buffer.alloc(4096, 2));
  await change({ child: 'children.0' });
  await user.write(4096, Buffer.alloc(4096, 3));
  await change({ node: 'd' });
  await user.write(8192, Buffer.alloc(4096, 4));
  expect(await client.refusal('blockdev-del', { 'node-name': 'd' })).toMatch(/in use by node 'q'/);
  expect(service.graph.nodes.has('a')).toBe(false);
  expect([...service.graph.find('q').children.keys()]).toEqual(['children.1', 'children.2', 'children.3']);
  const read = Buffer.alloc(12_288);
  await user.read(0, read);
  expect([read[0], read[4096], read[8192]]).toEqual([2, 3, 4]);
  await user.close();
  const at = (name: string): number[] =>
    [0, 4096, 8192].map((offset) => fs.readFileSync(path.join(dir, name))[offset] ?? -1);
  expect([at('a'), at('b'), at('c')]).toEqual([
    [2, 1, 1],
    [2, 3, 4],
    [2, 3, 4],
  ]);
  await client.run('blockdev-add', { driver: 'null-co', 'node-name': 'short', size: 512 });
  expect(await refused({ node: 'short' })).toMatch(/have 1048576 bytes, the new one has 512/);
  expect(await refused({ node: 'q' })).toMatch(/cycle/);
  expect(await refused({ child: 'children.0' })).toMatch(/no child 'children.0'/);
  expect(await refused({})).toMatch(/exactly one/);
  expect(await refused({ node: 'd', child: 'children.1' })).toMatch(/exactly one/);
  expect(await client.refusal('x-blockdev-change', { parent: 'c', node: 'd' })).toMatch(/driver 'file' of node 'c'/);
});

test.each([
  [true, 'raw'],
  [false, 'file'],
])('backing-mask-protocol %s: a stream names the format %s', async (mask, format) => {
  await using made = await scene();
  const { client, service } = made;
  const dir = tempDir();
  const { files } = await chain(made, dir);
  const raw = path.join(dir, 'raw');
  fs.writeFileSync(raw, Buffer.alloc(4 * SIZE));
  await client.run('blockdev-add', { driver: 'file', 'node-name': 'raw', filename: raw });
  const base = { driver: 'qcow2', 'node-name': 'base', file: service.graph.find('base').primary?.node.name };
  await client.run('blockdev-reopen', { options: [{ ...base, backing: 'raw' }] });
  await client.run('block-stream', { 'job-id': 's', device: 'top', 'base-node': 'raw', 'backing-mask-protocol': mask });
  await ends(client, 's');
  await service.graph.close();
  const info = execFileSync('qemu-img', ['info', '--output=json', files[2] ?? ''], { encoding: 'utf8' });
  expect(JSON.parse(info)).toMatchObject({ 'backing-filename-format': format });
});

describe('a mirror of a quorum', () => {
  async function mirrored(made: Scene) {
    const { client } = made;
    const disk = (name: string): object => ({ driver: 'null-co', 'node-name': name, size: SIZE, 'read-zeroes': true });
    await client.run('blockdev-add', {
      driver: 'quorum',
      'node-name': 'q',
      'vote-threshold': 1,
      children: [disk('a'), disk('b')],
    });
    for (const name of ['new', 'other']) await client.run('blockdev-add', disk(name));
    return { client, args: { 'job-id': 'm', device: 'q', target: 'new', sync: 'full' } };
  }

  test('replaces one of its children, and no disk that need not be the same', async () => {
    await using made = await scene();
    const { client, args } = await mirrored(made);
    const user = userOf(made, 'q');
    const refusal = await client.refusal('blockdev-mirror', { ...args, replaces: 'other' });
    expect(refusal).toMatch(/'other' cannot be replaced by a mirror of 'q'/);
    await client.run('blockdev-mirror', { ...args, replaces: 'a' });
    await reaches(client, 'm', 'ready');
    await client.run('job-complete', { id: 'm' });
    expect((await ends(client, 'm')).data).not.toHaveProperty('error');
    const { children } = made.service.graph.find('q');
    expect([...children.values()].map(({ node }) => node.name)).toEqual(['new', 'b']);
    expect(user.image.name).toBe('q');
    await user.write(0, Buffer.alloc(512));
    await user.close();
  });

  test('replaces the quorum where that is what is named', async () => {
    await using made = await scene();
    const { client, args } = await mirrored(made);
    const user = userOf(made, 'q');
    await client.run('blockdev-mirror', { ...args, replaces: 'q' });
    await reaches(client, 'm', 'ready');
    await client.run('job-complete', { id: 'm' });
    await ends(client, 'm');
    expect(user.image.name).toBe('new');
    await user.close();
  });

  test('fails at its end when that child has been taken away', async () => {
    await using made = await scene();
    const { client, args } = await mirrored(made);
    const user = userOf(made, 'q');
    await client.run('blockdev-mirror', { ...args, replaces: 'a' });
    await reaches(client, 'm', 'ready');
    await client.run('x-blockdev-change', { parent: 'q', child: 'children.0' });
    await client.run('job-complete', { id: 'm' });
    await expect(ends(client, 'm')).rejects.toThrow("node 'a' cannot be replaced");
    expect(user.image.name).toBe('q');
    await user.close();
  });
});
