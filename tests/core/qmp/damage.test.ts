import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { tempDir } from '../../support/temp.ts';
import { MiB, userOf } from './chain.ts';
import { scene } from './client.ts';

test('an image that proves corrupt is told, once, and takes no more writes', async () => {
  await using made = await scene();
  const { client } = made;
  const file = path.join(tempDir(), 'disk');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, '4M']);
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write 0 64k', file]);
  // The entry of the first cluster in the L2 table, which is the fourth cluster here, points into the middle of one.
  const bytes = fs.readFileSync(file);
  const l1 = Number(bytes.readBigUInt64BE(40));
  const l2 = Number(bytes.readBigUInt64BE(l1) & 0x00ff_ffff_ffff_fe00n);
  bytes.writeBigUInt64BE(bytes.readBigUInt64BE(l2) | 512n, l2);
  fs.writeFileSync(file, bytes);
  await client.run('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename: file } });
  const user = userOf(made, 'disk');
  for (let i = 0; i < 2; i++) await expect((async () => user.read(0, Buffer.alloc(512)))()).rejects.toThrow();
  const events = client.messages.filter(({ event }) => event === 'BLOCK_IMAGE_CORRUPTED');
  expect(events.map(({ data }) => data)).toEqual([
    {
      device: '',
      'node-name': 'disk',
      msg: expect.stringContaining('not a multiple of the cluster'),
      offset: expect.any(Number),
      fatal: true,
    },
  ]);
  await expect((async () => user.write(MiB, Buffer.alloc(512)))()).rejects.toThrow(/corrupt/);
  // What could not be written makes closing an error; nothing stays open all the same.
  await user.close().catch(() => undefined);
  await client.ask('blockdev-del', { 'node-name': 'disk' });
  expect(made.service.graph.nodes.size).toBe(0);
});

test('a child of a quorum that differs, or fails, is told', async () => {
  await using made = await scene();
  const { client } = made;
  const dir = tempDir();
  const children = ['a', 'b', 'c'].map((name) => {
    const filename = path.join(dir, name);
    fs.writeFileSync(filename, Buffer.alloc(MiB, name === 'b' ? 2 : 1));
    return { driver: 'file', filename, 'node-name': name };
  });
  children[2] = {
    driver: 'blkdebug',
    image: children[2],
    'node-name': 'bad',
    'inject-error': [{ event: 'none', iotype: 'write', errno: 5 }],
  } as never;
  await client.run('blockdev-add', { driver: 'quorum', 'node-name': 'q', children, 'vote-threshold': 2 });
  const user = userOf(made, 'q');
  await user.read(4096, Buffer.alloc(1024));
  await user.write(8192, Buffer.alloc(512));
  const events = client.messages.filter(({ event }) => event === 'QUORUM_REPORT_BAD');
  expect(events.map(({ data }) => data)).toEqual([
    { type: 'read', 'node-name': 'b', 'sector-num': 8, 'sectors-count': 2 },
    { type: 'write', error: expect.any(String), 'node-name': 'bad', 'sector-num': 16, 'sectors-count': 1 },
  ]);
  await user.close();
});

test('a quorum that fails is told, for what is read and written', async () => {
  await using made = await scene();
  const { client } = made;
  const dir = tempDir();
  const children = ['a', 'b'].map((name) => {
    const filename = path.join(dir, name);
    fs.writeFileSync(filename, Buffer.alloc(MiB, name === 'b' ? 2 : 1));
    return { driver: 'file', filename };
  });
  const bad = {
    driver: 'blkdebug',
    image: children[1],
    'inject-error': [{ event: 'none', iotype: 'write', errno: 5 }],
  };
  const options = { driver: 'quorum', children: [children[0], bad], 'vote-threshold': 2 };
  await client.run('blockdev-add', { ...options, 'node-name': 'q' });
  const user = userOf(made, 'q');
  await expect(user.read(4096, Buffer.alloc(1024))).rejects.toThrow(/agree/);
  await client.event('QUORUM_FAILURE', (data) => data['sector-num'] === 8);
  await expect(user.write(8192, Buffer.alloc(512))).rejects.toThrow();
  // One in a second.
  const { data } = await client.event('QUORUM_FAILURE', (each) => each['sector-num'] === 16);
  expect(data).toEqual({ reference: 'q', 'sector-num': 16, 'sectors-count': 1 });
  await user.close();
});
