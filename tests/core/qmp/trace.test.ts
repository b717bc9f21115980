/** Nodes with the option `trace`, while they are used, changed and closed over the control socket. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { imgOutput, runProgram } from '../../support/cli.ts';
import { StorageDaemon } from '../../support/storage-daemon.ts';
import { tempDir } from '../../support/temp.ts';
import { readTrace } from '../trace/sample-trace.ts';

const MiB = 1024 * 1024;

test('live operations lose no request of a trace that several nodes share', async () => {
  const dir = tempDir();
  const trace = join(dir, 'trace.jsonl');
  const qcow2 = async (name: string) => {
    const filename = join(dir, `${name}.qcow2`);
    await imgOutput(['create', '-q', '-f', 'qcow2', filename, '16M']);
    return {
      driver: 'qcow2',
      'node-name': name,
      trace,
      file: { driver: 'file', 'node-name': `${name}-file`, filename, trace },
    };
  };
  const daemon = await StorageDaemon.start(dir);
  const [a, b] = [await qcow2('a'), await qcow2('b')];
  for (const spec of [a, b]) await daemon.run('blockdev-add', spec);
  await daemon.run('block-export-add', { type: 'nbd', id: 'e', 'node-name': 'a', name: 'e', writable: true });
  const used = async () => {
    const writes = Array.from({ length: 40 }, (_, index) => ['-c', `aio_write -q ${index * 65536} 64k`]).flat();
    return (await runProgram('io', ['-f', 'raw', ...writes, '-c', 'aio_flush', daemon.uri('e')])).code;
  };

  // As it is, it may be said again; any other is refused, for it cannot begin or end in between.
  const reopen = (more: object) =>
    daemon.ask('blockdev-reopen', { options: [{ driver: 'qcow2', 'node-name': 'a', file: 'a-file', ...more }] });
  const using = used();
  expect((await reopen({ trace })).error).toBeUndefined();
  for (const other of [{}, { trace: `${trace}2` }]) {
    expect((await reopen(other)).error?.desc).toBe("option 'trace' of node 'a' cannot be changed while it is open");
  }
  await daemon.run('x-blockyard-insert-filter', {
    'node-name': 'a-file',
    filter: { driver: 'trace', 'node-name': 'f', 'trace-file': trace },
  });
  expect(await using).toBe(0);

  const copied = used();
  await daemon.run('blockdev-mirror', { 'job-id': 'm', device: 'a', target: 'b', sync: 'full', replaces: 'a' });
  await daemon.reached('m', 'ready');
  await daemon.run('job-complete', { id: 'm' });
  await daemon.reached('m', 'concluded');
  expect(await copied).toBe(0);
  expect(await used()).toBe(0);
  await daemon.run('blockdev-del', { 'node-name': 'b', force: true });
  expect(await used()).toBe(1);
  await daemon.run('blockdev-del', { 'node-name': 'a' });
  await daemon.run('blockdev-add', { driver: 'null-co', 'node-name': 'last', trace });
  await daemon.run('block-export-add', { type: 'nbd', id: 'l', 'node-name': 'last', name: 'l' });
  await runProgram('io', ['-r', '-f', 'raw', '-c', 'read -q 0 4k', daemon.uri('l')]);
  await daemon.quit();

  const { requests, source } = await readTrace(trace);
  expect(source.incomplete).toBeUndefined();
  expect(requests.map(({ number }) => number)).toEqual(requests.map((_, index) => index));
  const bytes = (node: string) =>
    requests.filter((each) => each.node === node && each.op === 'write').reduce((sum, { length }) => sum + length, 0);
  // What was written before the mirror was complete, with all of what was written at the same time; then to the copy.
  expect(bytes('a')).toBeGreaterThanOrEqual(40 * 65536);
  expect(bytes('a') + bytes('b')).toBeGreaterThanOrEqual(3 * 40 * 65536);
  expect(requests.find(({ node }) => node === 'last')).toMatchObject({ op: 'read', length: 4096, result: 0 });
  expect(source.parser?.nodes.get('b')?.size).toBe(16 * MiB);
});
