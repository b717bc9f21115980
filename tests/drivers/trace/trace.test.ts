/** The trace filter in a graph. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { specFromOptions } from '../../../src/core/block/graph/spec.ts';
import { readTrace } from '../../core/trace/sample-trace.ts';
import { openDisk } from '../../support/disk.ts';
import { tempDir } from '../../support/temp.ts';

function setUp(child = 'file.driver=raw,file.node-name=disk,file.file.driver=null-co,file.file.size=1M') {
  const file = join(tempDir(), 'trace.jsonl');
  return { file, spec: specFromOptions(`driver=trace,trace-file=${file},${child}`) };
}

test('records every kind of request, as it comes and with what became of it', async () => {
  const { file, spec } = setUp();
  const disk = await openDisk(spec, { writable: true, modes: { unmap: true } });
  expect(disk.read(1, Buffer.alloc(7))).toBeUndefined();
  await disk.readv(512, [Buffer.alloc(512), Buffer.alloc(1024)]);
  await disk.write(3, Buffer.alloc(5), 1);
  await disk.zero(0, 4096, 2);
  await disk.discard(4096, 512);
  await disk.flush();
  await disk.close();
  const { requests, source } = await readTrace(file);
  expect(
    requests.map(({ op, offset, length, flags, result, depth, node }) => [
      op,
      offset,
      length,
      flags,
      result,
      depth,
      node,
    ]),
  ).toEqual([
    ['read', 1, 7, 0, 0, 1, 'disk'],
    ['read', 512, 1536, 0, 0, 1, 'disk'],
    ['write', 3, 5, 1, 0, 1, 'disk'],
    ['zero', 0, 4096, 2, 0, 1, 'disk'],
    ['discard', 4096, 512, 0, 0, 1, 'disk'],
    ['flush', 0, 0, 0, 0, 1, 'disk'],
  ]);
  for (const { start, end } of requests) expect(end).toBeGreaterThanOrEqual(start);
  expect(source.incomplete).toBeUndefined();
  expect(source.parser?.nodes.get('disk')?.size).toBe(1 << 20);
});

test('records errors and depth of requests side by side', async () => {
  const { file, spec } = setUp(
    'file.driver=blkdebug,file.node-name=disk,file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.errno=28,' +
      'file.image.driver=null-aio,file.image.size=1M,file.image.latency-ns=3000000',
  );
  const disk = await openDisk(spec, { writable: true });
  await Promise.all([0, 1, 2].map((index) => disk.read(index * 512, Buffer.alloc(512))));
  await expect(Promise.resolve().then(() => disk.write(0, Buffer.alloc(512)))).rejects.toThrow();
  await disk.close();
  const { requests } = await readTrace(file);
  expect(requests.filter(({ op }) => op === 'read').map(({ depth }) => depth)).toEqual([1, 2, 3]);
  expect(requests.find(({ op }) => op === 'write')?.result).toBe(28);
});

test('goes on with the file when an image is opened again, and begins anew when it is another', async () => {
  const { file, spec } = setUp();
  for (let turn = 0; turn < 2; turn++) {
    const disk = await openDisk(spec);
    await disk.read(0, Buffer.alloc(512));
    await disk.close();
  }
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ number }) => number)).toEqual([0, 1]);
  expect(source.incomplete).toBeUndefined();
  rmSync(file);
  await (await openDisk(spec)).close();
  expect(readFileSync(file, 'utf8')).toMatch(/^{"format":"blockyard-trace","version":1,.*\n{"requests":0}\n$/s);
});

test('two images share a file', async () => {
  const { file, spec } = setUp();
  const other = { ...spec, file: { driver: 'null-co', size: 4096, 'node-name': 'other' } };
  const [first, second] = [await openDisk(spec), await openDisk(other)];
  await first.read(0, Buffer.alloc(512));
  await second.read(0, Buffer.alloc(512));
  await first.close();
  await second.read(512, Buffer.alloc(512));
  await second.close();
  const { requests } = await readTrace(file);
  expect(requests.map(({ node }) => node)).toEqual(['disk', 'other', 'other']);
});

test('a full disk ends the trace with one warning, and harms no request', async () => {
  const warnings: string[] = [];
  const spec = specFromOptions('driver=trace,trace-file=/dev/full,file.driver=null-co,file.size=1M');
  const disk = await openDisk(spec, { warn: (message) => void warnings.push(message) });
  for (let index = 0; index < 40_000; index++) expect(disk.read(0, Buffer.alloc(512))).toBeUndefined();
  const other = await openDisk(spec, { warn: (message) => void warnings.push(message) });
  await other.close();
  await disk.close();
  expect(warnings).toEqual(["trace file '/dev/full': No space left on device; tracing ends here"]);
  const later = await openDisk(spec, { warn: (message) => void warnings.push(message) });
  await later.close();
  expect(warnings[1]).toBe("trace file '/dev/full': No space left on device; nothing more is recorded there");
});

test('a file that cannot be made is an error at once', async () => {
  const spec = specFromOptions('driver=trace,trace-file=/nonexistent-folder/x,file.driver=null-co');
  await expect(openDisk(spec)).rejects.toThrow("cannot record in '/nonexistent-folder/x': No such file or directory");
});
