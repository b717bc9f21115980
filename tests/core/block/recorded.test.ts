/** The option `trace` of every node. */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closeByForce } from '../../../src/core/block/graph/force-close.ts';
import { openDisk } from '../../support/disk.ts';
import { tempDir } from '../../support/temp.ts';
import { readTrace } from '../trace/sample-trace.ts';

const disk = { driver: 'null-co', size: 1 << 20 };

function traceFile(): string {
  return join(tempDir(), 'trace.jsonl');
}

test('what users ask of a node is recorded as it comes, under the name of the node', async () => {
  const file = traceFile();
  const spec = { driver: 'raw', 'node-name': 'top', trace: file, file: { ...disk, 'node-name': 'below' } };
  const backend = await openDisk(spec, { writable: true, modes: { unmap: true } });
  expect(backend.read(1, Buffer.alloc(7))).toBeUndefined();
  await backend.readv(512, [Buffer.alloc(512), Buffer.alloc(1024)]);
  await backend.write(3, Buffer.alloc(5), 1);
  await backend.zero(0, 4096, 2);
  await backend.discard(4096, 512);
  await backend.flush();
  await backend.close();
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ op, offset, length, flags, node }) => [op, offset, length, flags, node])).toEqual([
    ['read', 1, 7, 0, 'top'],
    ['read', 512, 1536, 0, 'top'],
    ['write', 3, 5, 1, 'top'],
    ['zero', 0, 4096, 2, 'top'],
    ['discard', 4096, 512, 0, 'top'],
    ['flush', 0, 0, 0, 'top'],
    // Of the closing.
    ['flush', 0, 0, 0, 'top'],
  ]);
  expect(requests.map(({ depth, result }) => [depth, result])).toEqual(requests.map(() => [1, 0]));
  expect(source.parser?.nodes.get('top')?.size).toBe(1 << 20);
});

test('what a format asks of its file is recorded at the file', async () => {
  const file = traceFile();
  const backend = await openDisk({ driver: 'raw', offset: 4096, size: 8192, file: { ...disk, trace: file } });
  await backend.read(512, Buffer.alloc(512));
  await backend.close();
  const { requests } = await readTrace(file);
  expect(requests.map(({ op, offset, length }) => [op, offset, length])).toEqual([['read', 4608, 512]]);
});

test('requests that overlap in time have their depth, those that fail their error', async () => {
  const file = traceFile();
  const slow = { driver: 'null-aio', size: 1 << 20, 'latency-ns': 3_000_000 };
  const rule = { event: 'none', iotype: 'write', errno: 28 };
  const spec = { driver: 'blkdebug', 'inject-error': [rule], image: slow, trace: file };
  const backend = await openDisk(spec, { writable: true });
  await Promise.all([0, 1, 2].map((index) => backend.read(index * 512, Buffer.alloc(512))));
  await expect(Promise.resolve().then(() => backend.write(0, Buffer.alloc(512)))).rejects.toThrow();
  await backend.close();
  const { requests } = await readTrace(file);
  expect(requests.filter(({ op }) => op === 'read').map(({ depth }) => depth)).toEqual([1, 2, 3]);
  expect(requests.find(({ op }) => op === 'write')?.result).toBe(28);
});

test('nested requests of two nodes are recorded in one file, in the order of their issue', async () => {
  const file = traceFile();
  const spec = { driver: 'raw', 'node-name': 'top', trace: file, file: { ...disk, 'node-name': 'low', trace: file } };
  const backend = await openDisk(spec);
  for (let index = 0; index < 3; index++) expect(backend.read(index * 512, Buffer.alloc(512))).toBeUndefined();
  await backend.close();
  const { requests } = await readTrace(file);
  const inOrder = requests.toSorted((a, b) => a.number - b.number);
  expect(inOrder.map(({ node, offset }) => [node, offset])).toEqual(
    [0, 512, 1024].flatMap((offset) => ['top', 'low'].map((node) => [node, offset])),
  );
  for (const { number, start, end = 0 } of inOrder.filter(({ node }) => node === 'low')) {
    const outer = inOrder[number - 1];
    expect(start).toBeGreaterThanOrEqual(outer?.start ?? Infinity);
    expect(end).toBeLessThanOrEqual(outer?.end ?? 0);
  }
});

test('runs of like requests, lone ones and more than the ring holds all come out as they went in', async () => {
  const file = traceFile();
  const backend = await openDisk({ ...disk, trace: file });
  const buffers = [512, 4096, 65536].map((length) => Buffer.alloc(length));
  const expected: [number, number][] = [];
  for (let index = 0; index < 150_000; index++) {
    // Two thirds of the time the same length over and over, then a change with each request.
    const buf = buffers[index % 3000 < 2000 ? 0 : index % 3] as Buffer;
    const offset = (index % 16) * 65536;
    expected.push([offset, buf.length]);
    backend.read(offset, buf);
  }
  await backend.close();
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.at(-1)).toBe('{"requests":150000}');
  const records = lines.slice(1, -1).map((line) => JSON.parse(line) as { n: number; offset: number; length: number });
  expect(records.map(({ n }) => n)).toEqual(records.map((_, index) => index));
  expect(records.map(({ offset, length }) => [offset, length])).toEqual(expected);
});

test('a file that cannot be made is an error at once', async () => {
  const spec = { ...disk, trace: '/nonexistent-folder/x' };
  await expect(openDisk(spec)).rejects.toThrow("cannot record in '/nonexistent-folder/x': No such file or directory");
});

test('a file is one trace by whatever name, for the option and the filter', async () => {
  const file = traceFile();
  symlinkSync(file, `${file}.link`);
  const first = await openDisk({ ...disk, 'node-name': 'first', trace: file });
  const second = await openDisk({
    driver: 'trace',
    'trace-file': `${file}.link`,
    file: { ...disk, 'node-name': 'second' },
  });
  for (const each of [first, second, first]) await each.read(0, Buffer.alloc(512));
  await first.close();
  const third = await openDisk({ ...disk, 'node-name': 'third', trace: join(file, '..', '.', 'trace.jsonl') });
  for (const each of [third, second]) await each.read(0, Buffer.alloc(512));
  await second.close();
  await third.close();
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ number, node }) => [number, node])).toEqual(
    ['first', 'second', 'first', 'third', 'second'].map((name, index) => [index, name]),
  );
  expect(source.incomplete).toBeUndefined();
});

test('who opens an image while the trace is being closed goes on with it', async () => {
  const file = traceFile();
  const first = await openDisk({ ...disk, trace: file });
  await first.read(0, Buffer.alloc(512));
  const closing = first.close();
  const second = await openDisk({ ...disk, trace: file });
  await second.read(0, Buffer.alloc(512));
  await closing;
  await second.close();
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ number }) => number)).toEqual([0, 1]);
  expect(source.incomplete).toBeUndefined();
});

test('what is no trace is not written over', async () => {
  const file = traceFile();
  writeFileSync(file, 'a disk image, say');
  for (const spec of [
    { ...disk, trace: file },
    { driver: 'trace', 'trace-file': file, file: disk },
  ]) {
    await expect(openDisk(spec)).rejects.toThrow(`cannot record in '${file}': it is not empty, and holds no trace`);
  }
  expect(readFileSync(file, 'utf8')).toBe('a disk image, say');
});

test("a trace that is being written is nobody else's image, and no image in use becomes one", async () => {
  const file = traceFile();
  const user = await openDisk({ ...disk, trace: file });
  const image = { driver: 'file', filename: file };
  await expect(openDisk(image, { writable: true })).rejects.toThrow('Failed to get "write" lock');
  await (await openDisk(image)).close();
  await user.close();
  writeFileSync(file, '');
  const inUse = await openDisk(image, { writable: true });
  await expect(openDisk({ ...disk, trace: file })).rejects.toThrow(
    /cannot record in .*: Failed to get (shared )?"write" lock/,
  );
  await inUse.close();
  await (await openDisk({ ...disk, trace: file })).close();
});

test('what is asked of a node that was closed by force is not recorded, and takes no number', async () => {
  const file = traceFile();
  const user = await openDisk({ ...disk, trace: file });
  await user.read(0, Buffer.alloc(512));
  await closeByForce(user.graph, user.image);
  for (let turn = 0; turn < 3; turn++) await expect((async () => user.read(0, Buffer.alloc(512)))()).rejects.toThrow();
  await user.flush();
  const other = await openDisk({ ...disk, trace: file });
  await other.read(0, Buffer.alloc(512));
  await other.close();
  await user.close();
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ number }) => number)).toEqual([0, 1]);
  expect(source.incomplete).toBeUndefined();
});

test('a request is in the trace although the node is closed as soon as it has ended', async () => {
  const file = traceFile();
  const slow = { driver: 'null-aio', size: 1 << 20, 'latency-ns': 1_000_000, trace: file };
  const backend = await openDisk(slow, { writable: true });
  const [write] = [backend.write(0, Buffer.alloc(512), 1), backend.read(0, Buffer.alloc(512))];
  await Promise.all([backend.close(), write]);
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ op }) => op)).toEqual(['write', 'read', 'flush']);
  expect(source.incomplete).toBeUndefined();
});
