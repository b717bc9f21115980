/** Permissions as locks on the host file, against another program that uses the same file. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Backend } from '../../../src/core/block/backend/backend.ts';
import { BlockGraph } from '../../../src/core/block/graph/block-graph.ts';
import { operations } from '../../../src/core/block/graph/operations.ts';
import { driverList } from '../../../src/drivers/index.ts';
import { findPeer, peersFor, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

function rawFile(): string {
  const path = join(tempDir(), 'disk');
  writeFileSync(path, Buffer.alloc(65536, 1));
  return path;
}

async function open(path: string, mode: 'read' | 'write', modes: object = {}, options: object = {}): Promise<Backend> {
  const graph = new BlockGraph({ drivers: driverList, references: 'all', warn: () => undefined });
  return Backend.open(
    graph,
    { driver: 'raw', file: { driver: 'file', filename: path, ...options } },
    {
      user: 'the test',
      permissions: mode === 'read' ? operations['read-stable'].image : { perm: 3, shared: 1 },
      open: { modes: { readOnly: mode === 'read', ...modes } },
    },
  );
}

/** qemu-io that holds `path` open until it is told to go. */
async function holding(path: string, ...args: string[]): Promise<() => Promise<void>> {
  const child = execa(findPeer('qemu-io') ?? 'qemu-io', ['-f', 'raw', ...args, path], { reject: false });
  child.stdin?.write('read 0 512\n');
  await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
  const end = async (): Promise<void> => {
    child.stdin?.end('quit\n');
    await child;
  };
  onTestFinished(end);
  return end;
}

describe.skipIf(peersFor('qemu-io').missing)('a file that qemu-io holds', () => {
  test('for writing is refused, read with force-share, and free when it ends', async () => {
    const path = rawFile();
    const end = await holding(path);
    await expect(open(path, 'read')).rejects.toThrow('Failed to get shared "write" lock');
    await (await open(path, 'read', { forceShare: true })).close();
    await (await open(path, 'read', {}, { locking: 'off' })).close();
    await end();
    await (await open(path, 'write')).close();
  });

  test('for reading can be read beside it', async () => {
    const path = rawFile();
    await holding(path, '-r');
    await (await open(path, 'read')).close();
  });
});

describe.skipIf(peersFor('qemu-io').missing)('a file that we hold', () => {
  const tries = (path: string, ...args: string[]) =>
    runPeer('qemu-io', ['-f', 'raw', ...args, '-c', 'read 0 512', path]);
  test('for writing is refused to qemu-io, but for -U, and free when we end', async () => {
    const path = rawFile();
    const disk = await open(path, 'write');
    expect((await tries(path)).stderr).toContain('Failed to get "write" lock');
    expect((await tries(path, '-r', '-U')).code).toBe(0);
    await disk.close();
    expect((await tries(path)).code).toBe(0);
  });

  test('for stable reading can be read, not written', async () => {
    const path = rawFile();
    await using _disk = await open(path, 'read');
    expect((await tries(path, '-r')).code).toBe(0);
    expect((await tries(path)).stderr).toContain('lock');
  });

  test('is refused to ourselves in another graph', async () => {
    const path = rawFile();
    await using _disk = await open(path, 'write');
    await expect(open(path, 'write')).rejects.toMatchObject({
      code: 'EAGAIN',
      followUp: expect.stringContaining(path),
    });
  });
});
