/** Who writes a trace, and when: ourselves, a thread that starts late, one that fails. */
import fs, { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { BlockError } from '../../../src/core/errors/block-error.ts';
import { InlineSink } from '../../../src/core/trace/inline-sink.ts';
import { RING_WORDS, ringMemory } from '../../../src/core/trace/ring-memory.ts';
import { now, RingWriter } from '../../../src/core/trace/ring-writer.ts';
import { LateSink, type Sink, type SinkSettings } from '../../../src/core/trace/sink.ts';
import { openTraceFile } from '../../../src/core/trace/trace-file.ts';
import { tempDir } from '../../support/temp.ts';
import { until } from '../../support/tracked-child.ts';
import { readTrace } from './sample-trace.ts';

const THREAD = join(import.meta.dirname, '..', '..', '..', 'dist', 'cli', 'trace-thread.cjs');
const disk = { name: 'disk0', size: 1 << 20, fileName: 'disk.raw' };

interface Recording {
  readonly path: string;
  readonly sink: Sink;
  readonly ring: RingWriter;
  readonly failures: string[];
  /** Record so many requests more. */
  record(count: number): void;
}

/** A trace that is written by what `open` makes. */
function recording(open: (settings: SinkSettings) => Sink, ending = ''): Recording {
  const path = join(tempDir(), `trace.jsonl${ending}`);
  const memory = ringMemory();
  const failures: string[] = [];
  const ring = new RingWriter(memory, () => sink.crowded());
  const header = { program: 'test', wallClock: new Date() };
  const writer = { file: openTraceFile(path), header, origin: now(), known: [], ring: memory };
  const onFailure = (error: BlockError) => void failures.push(error.message);
  const sink = open({ writer, ring, onFailure });
  sink.addNode(disk);
  let number = 0;
  const record = (count: number) => {
    for (const end = number + count; number < end; number++) {
      const issued = { kind: 0, offset: 0, length: number % 2, number, depth: 1, node: 0, start: now() };
      if (!ring.add(issued, 0)) expect(sink.makeRoom() && ring.add(issued, 0)).toBe(true);
    }
    if (!ring.publish()) expect(sink.makeRoom()).toBe(true);
  };
  return { path, sink, ring, failures, record };
}

const late = (thread: string) => (settings: SinkSettings) => new LateSink(thread, settings);

/** What it has, all told, after the end. */
async function expectWhole({ path, sink, ring, failures }: Recording, count: number): Promise<void> {
  expect(await sink.close(ring.recorded)).toBe(fs.statSync(path).size);
  const { requests, source } = await readTrace(path);
  expect(requests.map(({ number }) => number)).toEqual(Array.from({ length: count }, (_, index) => index));
  expect(source.incomplete).toBeUndefined();
  expect([...(source.parser?.nodes.values() ?? [])][0]).toEqual(disk);
  expect(failures).toEqual([]);
}

function lines(path: string): number {
  return readFileSync(path, 'utf8').split('\n').length - 1;
}

describe.each(['', '.gz', '.zst'])('a thread that starts late, for a file that ends in %j', (ending) => {
  test('is never started when all is over soon', async () => {
    const it = recording(late('/nonexistent.cjs'), ending);
    it.record(100);
    it.sink.linger();
    await expectWhole(it, 100);
  });

  test('starts when records wait for the second time', async () => {
    const it = recording(late(THREAD), ending);
    const [header] = [fs.statSync(it.path).size];
    expect(header).toBeGreaterThan(0);
    for (let turn = 0; turn < 3; turn++) it.sink.linger();
    it.record(100);
    it.sink.linger();
    expect(fs.statSync(it.path).size).toBe(header);
    it.sink.linger();
    await until(
      () => fs.statSync(it.path).size > header,
      30_000,
      () => 'nothing is written',
    );
    it.record(100);
    await expectWhole(it, 200);
  });

  test('starts when the ring gets full, and lets requests wait', async () => {
    const it = recording(late(THREAD), ending);
    it.record(RING_WORDS / 4);
    await expectWhole(it, RING_WORDS / 4);
  });

  test('introduces further images, before and after its start', async () => {
    const it = recording(late(THREAD), ending);
    for (const name of ['a', 'b', 'c']) {
      it.record(10);
      it.sink.addNode({ ...disk, name });
      if (name === 'b') for (let turn = 0; turn < 2; turn++) it.sink.linger();
    }
    await it.sink.close(it.ring.recorded);
    const { source, requests } = await readTrace(it.path);
    expect([...(source.parser?.nodes.keys() ?? [])]).toEqual(['disk0', 'a', 'b', 'c']);
    expect(requests).toHaveLength(30);
  });
});

test('the process may end at once, with or without a thread', () => {
  for (const turns of [0, 2]) {
    const it = recording(late(THREAD));
    it.record(100);
    for (let turn = 0; turn < turns; turn++) it.sink.linger();
    it.record(100);
    it.sink.save();
    expect(lines(it.path)).toBe(1 + 200);
  }
});

describe('a thread', () => {
  function script(text: string): string {
    const path = join(tempDir(), 'thread.cjs');
    writeFileSync(path, text);
    return path;
  }

  test.each([
    ['throws', "throw new Error('broken')", 'broken'],
    ['ends', 'process.exit(0)', 'the thread that writes it has ended'],
  ])('that %s ends the trace with one warning', async (_, text, message) => {
    const it = recording(late(script(text)));
    it.record(10);
    it.sink.linger();
    it.sink.linger();
    await until(
      () => it.failures.length > 0,
      30_000,
      () => 'no failure is told',
    );
    expect(it.sink.makeRoom()).toBe(false);
    await it.sink.close(10);
    expect(it.failures).toEqual([`trace file '${it.path}': ${message}`]);
    expect(lines(it.path)).toBe(1);
  });

  test('that may not be started is replaced by ourselves', async () => {
    // Node refuses such a name as it refuses all of them under --permission: with an exception.
    const it = recording(late('no-path.cjs'));
    it.record(10);
    for (let turn = 0; turn < 3; turn++) it.sink.linger();
    expect(lines(it.path)).toBe(11);
    it.record(100_000);
    await expectWhole(it, 100_010);
  });
});

test.each(['', '.gz'])('a disk that gets full in the middle of a line leaves whole ones, in %j', async (ending) => {
  const it = recording((settings) => new InlineSink(settings), ending);
  const before = fs.statSync(it.path).size;
  it.record(10);
  const write = fs.writeSync as (fd: number, bytes: Uint8Array, at: number, length: number) => number;
  const spy = vi.spyOn(fs, 'writeSync').mockImplementation(((fd: number, bytes: Uint8Array, at: number) => {
    if (at > 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    return write(fd, bytes, 0, Math.min(350, bytes.length - 1));
  }) as typeof fs.writeSync);
  onTestFinished(() => spy.mockRestore());
  it.sink.linger();
  expect(it.failures).toEqual([`trace file '${it.path}': No space left on device`]);
  await it.sink.close(10);
  // Three lines of some hundred bytes, or a frame that is of no use.
  if (ending === '') expect(readFileSync(it.path, 'utf8')).toMatch(/^{"format".*}\n({"n":\d.*}\n){2,3}$/);
  else expect(fs.statSync(it.path).size).toBe(before);
});
