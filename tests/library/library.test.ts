import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  Backend,
  Cancelled,
  convert,
  createImage,
  newGraph,
  openImage,
  operations,
  PermissionConflict,
} from '../../src/index.ts';
import { tempDir } from '../support/temp.ts';

const MiB = 1024 * 1024;

describe('the library', () => {
  test('makes, writes, converts and reads images', async () => {
    const dir = tempDir();
    const [image, overlay, copy] = ['a.qcow2', 'b.qcow2', 'c.raw'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    await createImage(image, { format: 'qcow2', size: 4 * MiB, options: { cluster_size: '4k' } });
    const data = Buffer.alloc(65536, 0x5a);
    {
      await using disk = await openImage(image, { writable: true });
      expect(disk.size).toBe(4 * MiB);
      await disk.write(MiB + 512, data);
      await disk.flush();
    }
    await createImage(overlay, { format: 'qcow2', backing: { fileName: 'a.qcow2', format: 'qcow2' } });
    const seen: number[] = [];
    await convert(overlay, copy, { onProgress: ({ done }) => seen.push(done) });
    expect(seen.at(-1)).toBe(4 * MiB);
    expect(fs.statSync(copy).size).toBe(4 * MiB);
    await using back = await openImage({ driver: 'raw', 'file.driver': 'file', 'file.filename': copy });
    const read = Buffer.alloc(data.length);
    await back.read(MiB + 512, read);
    expect(Buffer.compare(read, data)).toBe(0);
    const { zero } = await back.chainStatus(MiB / 2, MiB / 2);
    expect(zero).toBe(true);
  });

  test('tells of a backing file that was changed, and refuses an overlay of it', async () => {
    const dir = tempDir();
    const [base, top] = [join(dir, 'base.raw'), join(dir, 'top.qcow2')];
    fs.writeFileSync(base, Buffer.alloc(MiB));
    await createImage(top, { format: 'qcow2', backing: { fileName: 'base.raw', format: 'raw' } });
    {
      await using disk = await openImage(top, { writable: true });
      await disk.write(0, Buffer.alloc(4096, 1));
    }
    const told: string[] = [];
    const look = async (changedBase: 'warn' | 'warn-certain' | 'refuse'): Promise<readonly string[]> => {
      told.length = 0;
      await using _disk = await openImage(top, { changedBase, warn: (line) => void told.push(line) });
      return [...told];
    };
    expect(await look('refuse')).toEqual([]);
    fs.utimesSync(base, 1, 1);
    expect(await look('warn')).toEqual([expect.stringContaining('may have changed')]);
    expect(await look('warn-certain')).toEqual([]);
    await expect(look('refuse')).rejects.toThrow('may have changed');
    fs.truncateSync(base, 2 * MiB);
    expect(await look('warn-certain')).toEqual([expect.stringContaining('has changed')]);
  });

  test('puts images of one graph under the same permissions', async () => {
    const file = join(tempDir(), 'a.raw');
    await createImage(file, { size: MiB });
    const graph = newGraph();
    const spec = { driver: 'raw', 'node-name': 'disk', file: { driver: 'file', filename: file } };
    await using first = await openImage(spec, { graph, writable: true });
    expect(graph.find('disk')).toBe(first.image);
    const copying = { user: 'a copy', permissions: operations.mirror.source };
    expect(() => Backend.attach(graph, first.image, copying)).toThrow(PermissionConflict);
    // The same holds between processes, and between graphs, by locks on the file.
    await expect(convert(file, join(file, '..', 'b.raw'))).rejects.toThrow(/lock/);
  });

  test('says what is wrong, and stops when asked to', async () => {
    const dir = tempDir();
    await expect(openImage(join(dir, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(createImage(join(dir, 'a'), { format: 'qcow2' })).rejects.toThrow(/size .* is not given/);
    await createImage(join(dir, 'a'), { size: MiB });
    await expect(convert([], join(dir, 'b'))).rejects.toThrow(/there is no source/);
    const signal = AbortSignal.abort();
    await expect(convert(join(dir, 'a'), join(dir, 'b'), { signal })).rejects.toBeInstanceOf(Cancelled);
  });
});
