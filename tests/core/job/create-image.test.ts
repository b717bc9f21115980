import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspectBacking } from '../../../src/core/job/backing-file.ts';
import { CreateBody, createImage, creationOptions } from '../../../src/core/job/create-image.ts';
import { JobList } from '../../../src/core/job/job-list.ts';
import { fieldsOf } from '../../../src/core/options/structures.ts';
import { newGraph, openImage } from '../../../src/library/open.ts';
import { tempDir } from '../../support/temp.ts';

const MiB = 1024 * 1024;
const graph = newGraph();

describe('creationOptions', () => {
  test('joins the options of format and protocol', async () => {
    const { schema, format, protocol } = await creationOptions(graph, 'raw', '/tmp/x.raw');
    expect([format.driver.name, protocol?.driver.name]).toEqual(['raw', 'file']);
    expect(Object.keys(fieldsOf(schema)).sort()).toEqual(['extent_size_hint', 'nocow', 'preallocation', 'size']);
  });

  test('says what cannot be created', async () => {
    await expect(creationOptions(graph, 'null-co')).rejects.toThrow("driver 'null-co' cannot create images");
    await expect(creationOptions(graph, 'raw', 'null-co://')).rejects.toThrow(/cannot create/);
    await expect(creationOptions(graph, 'nonsense')).rejects.toThrow("unknown driver 'nonsense'");
  });
});

describe('createImage', () => {
  test('makes files of either format, options as text or as values', async () => {
    const dir = tempDir();
    const [raw, image] = [join(dir, 'a.raw'), join(dir, 'a.qcow2')];
    await createImage(graph, { driver: 'raw', fileName: raw, options: { size: '1M', preallocation: 'falloc' } });
    expect(fs.statSync(raw)).toMatchObject({ size: MiB });
    expect(fs.statSync(raw).blocks * 512).toBeGreaterThanOrEqual(MiB);
    const made = await createImage(graph, {
      driver: 'qcow2',
      fileName: image,
      options: { size: 4 * MiB, nocow: 'off' },
    });
    expect(made).toMatchObject({ size: 4 * MiB, cluster_size: 65536, nocow: false });
    await using disk = await openImage(image);
    expect(disk.size).toBe(4 * MiB);
    expect(graph.nodes.size).toBe(0);
  });

  test('removes the file it made when that fails, and not one that was there', async () => {
    const dir = tempDir();
    const file = join(dir, 'a.qcow2');
    const request = { driver: 'qcow2', fileName: file, options: { size: MiB, compat: '0.10', extended_l2: 'on' } };
    await expect(createImage(graph, request)).rejects.toThrow();
    expect(fs.existsSync(file)).toBe(false);
    fs.writeFileSync(file, 'something');
    await expect(createImage(graph, request)).rejects.toThrow();
    expect(fs.existsSync(file)).toBe(true);
    expect(graph.nodes.size).toBe(0);
  });

  test('touches nothing when an option is wrong', async () => {
    const file = join(tempDir(), 'a.raw');
    fs.writeFileSync(file, 'something');
    for (const options of [{ bogus: 1 }, { size: 'much' }, { size: MiB, preallocation: 'metadata' }]) {
      await expect(createImage(graph, { driver: 'raw', fileName: file, options })).rejects.toMatchObject({
        code: 'EINVAL',
      });
    }
    expect(fs.readFileSync(file, 'utf8')).toBe('something');
  });

  test('leaves an image alone that is in use', async () => {
    const file = join(tempDir(), 'a.qcow2');
    await createImage(graph, { driver: 'qcow2', fileName: file, options: { size: MiB } });
    const before = fs.readFileSync(file);
    await using holder = await openImage(file, { writable: true });
    expect(holder.size).toBe(MiB);
    await expect(createImage(graph, { driver: 'raw', fileName: file, options: { size: MiB } })).rejects.toThrow(/lock/);
    expect(Buffer.compare(fs.readFileSync(file), before)).toBe(0);
  });

  test('is a job, which reports progress and can be cancelled', async () => {
    const dir = tempDir();
    const fileName = join(dir, 'a.qcow2');
    const options = { size: 4096 * MiB, cluster_size: 512, preallocation: 'metadata' };
    const job = new JobList().add({
      type: 'create',
      body: new CreateBody(graph, { driver: 'qcow2', fileName, options }),
    });
    const off = job.events.on('progress', () => {
      off();
      job.cancel();
    });
    await expect(job.start()).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(fs.existsSync(fileName)).toBe(false);
  });
});

describe('inspectBacking', () => {
  test('finds the size, relative to the image that is to be made', async () => {
    const dir = tempDir();
    await createImage(graph, { driver: 'qcow2', fileName: join(dir, 'base.qcow2'), options: { size: 3 * MiB } });
    const request = { fileName: join(dir, 'top.qcow2'), backingFile: 'base.qcow2', backingFormat: 'qcow2' };
    await using writer = await openImage(join(dir, 'base.qcow2'), { writable: true });
    expect(writer.size).toBe(3 * MiB);
    expect(await inspectBacking(graph, request)).toEqual({ size: 3 * MiB, format: 'qcow2' });
    await expect(inspectBacking(graph, { ...request, backingFormat: undefined })).rejects.toMatchObject({
      hint: 'It looks like qcow2: give -F qcow2',
    });
    await expect(inspectBacking(graph, { ...request, backingFile: '' })).rejects.toThrow(/empty/);
    await expect(inspectBacking(graph, { ...request, backingFile: request.fileName })).rejects.toThrow(
      /its own backing/,
    );
    await expect(inspectBacking(graph, { ...request, backingFile: 'none' })).rejects.toThrow(/Could not open .*none/);
  });
});
