/** Reading traces of all formats, whole and broken. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Encoder } from '@toondepauw/node-zstd';
import { describe, expect, test } from 'vitest';
import { tempDir } from '../../support/temp.ts';
import { readTrace, request, traceText, workload } from './sample-trace.ts';

function file(content: string | Uint8Array, name = 'trace'): string {
  const path = join(tempDir(), name);
  writeFileSync(path, content);
  return path;
}

const requests = workload(300, 1 << 20);
const byCompletion = [...requests].sort((a, b) => (a.end ?? 0) - (b.end ?? 0));

describe('our traces', () => {
  test('are read in the order of issue, however they are compressed', async () => {
    const text = Buffer.from(traceText(byCompletion));
    const zstd = new Encoder(1);
    const half = text.length >> 1;
    const forms = [
      text,
      gzipSync(text),
      Buffer.concat([gzipSync(text.subarray(0, half)), gzipSync(text.subarray(half))]),
      zstd.encodeSync(text),
      Buffer.concat([zstd.encodeSync(text.subarray(0, half)), zstd.encodeSync(text.subarray(half))]),
    ];
    for (const form of forms) {
      const { requests: found, source } = await readTrace(file(form));
      expect(found).toEqual(requests);
      expect(source.incomplete).toBeUndefined();
      expect(source.parser?.nodes.get('d')).toEqual({ name: 'd', size: 1 << 20, fileName: 'd.img' });
    }
  });

  test('may be cut off anywhere', async () => {
    const text = Buffer.from(traceText(requests.slice(0, 3)));
    const head = text.indexOf(10) + 1;
    for (let length = head; length < text.length; length++) {
      const { requests: found, source } = await readTrace(file(text.subarray(0, length)));
      expect(found).toEqual(requests.slice(0, found.length));
      if (length < text.length - 1) expect(source.incomplete).toMatch(/^it (ends without|is cut off)/);
    }
  });

  test.each([
    ['gzip', gzipSync(traceText(byCompletion))],
    ['zstd', new Encoder(1).encodeSync(Buffer.from(traceText(byCompletion)))],
  ])('of %s may be cut off', async (name, bytes) => {
    const path = file(bytes.subarray(0, bytes.length - 40));
    if (name === 'zstd') {
      await expect(readTrace(path)).rejects.toThrow('it is empty');
      return;
    }
    const { source } = await readTrace(path);
    expect(source.incomplete).toBe('it is cut off in the middle of a record');
  });

  test('with a lost record are read all the same', async () => {
    const { requests: found, source } = await readTrace(
      file(traceText(requests.toSpliced(5, 1)).replace('299}', '300}')),
    );
    expect(found).toEqual(requests.toSpliced(5, 1));
    expect(source.incomplete).toBe('its last line speaks of 300 requests, it has 299');
  });

  const broken: [what: string, text: string, message: string][] = [
    [
      'version',
      traceText([]).replace('"version":1', '"version":2'),
      'line 1: version 2 of the format is not supported',
    ],
    ['unit', traceText([]).replace('"ns"', '"us"'), "line 1: a clock in 'us' is not supported, only 'ns'"],
    ['garbage', `${traceText([])}garbage\n`, "line 3: it is no JSON: 'garbage'"],
    ['a list', `${traceText([])}[1]\n`, "line 3: it is no JSON object: '[1]'"],
    ['nothing known', `${traceText([])}{"a":1}\n`, 'line 3: it is no record of a trace'],
    ['operation', traceText([request({ op: 'fly' as 'read' })]), "line 2: 'op' is 'fly', not one of read"],
    ['offset', traceText([request({ offset: -1 })]), "line 2: 'offset' is -1, not a whole number from 0 to"],
    [
      'length',
      traceText([request({ length: 2 ** 60 })]),
      "line 2: 'length' is 1152921504606847000, not a whole number",
    ],
    ['flags', traceText([request({ flags: 64 })]), "line 2: 'flags' is 64, not a whole number from 0 to 63"],
    ['time', traceText([request({ start: 5, end: 4 })]), "line 2: 'end' is 4, before 'start' 5"],
    ['node', traceText([request({ node: 'x' })]), "line 2: 'node' is 'x', which no line before has introduced"],
    ['long line', 'x'.repeat(70_000), 'line 1 is longer than 65536 bytes'],
    ['unknown', 'hello\n', "line 1: it begins no trace that is known (ours, fio's iolog, blkparse): 'hello'"],
    ['empty', '', 'it is empty'],
    ['fio version', 'fio version 1 iolog\n', "line 1: version 1 of fio's iolog is not supported, only 2 and 3"],
    ['fio action', 'fio version 2 iolog\nf add\nf jump 0 1\n', "line 3: the action is 'jump', not one of read, write"],
    ['fio file', 'fio version 2 iolog\ng read 0 1\n', "line 2: no line before has added the file 'g'"],
    ['fio number', 'fio version 2 iolog\nf add\nf read x 1\n', "line 3: 'offset' is 'x', not a whole number"],
  ];
  test.each(broken)('with a wrong %s are refused in one line', async (_, text, message) => {
    const path = file(text);
    await expect(readTrace(path)).rejects.toThrow(`trace '${path}': ${message}`);
  });

  test('of zstd that are not what their checksum says are refused', async () => {
    // One raw block of five bytes, of which the checksum is another.
    const frame = Buffer.concat([Buffer.from('28b52ffd0458290000', 'hex'), Buffer.from('trace'), Buffer.alloc(4)]);
    const path = file(frame);
    await expect(readTrace(path)).rejects.toThrow(`trace '${path}': it is not valid zstd data (`);
  });

  test('of zstd that would grow without bound are refused', async () => {
    // One frame of repeated bytes: each block of four bytes stands for 128 KiB.
    const blocks = Array.from({ length: 3000 }, () => Buffer.from([0x02 | 0x00, 0x00, 0x10, 0x41]));
    const bomb = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]), ...blocks]);
    await expect(readTrace(file(bomb))).rejects.toThrow('may unpack to more than the limit of 268435456 bytes');
  });
});

describe("fio's logs", () => {
  test('of version 3', async () => {
    const lines = [
      '0 f add',
      '5 f open',
      '10 f read 0 4096',
      '20 f write 4096 512',
      '30 f trim 0 512',
      '40 f sync 0 0',
      '50 f close',
    ];
    const { requests: found } = await readTrace(file(`fio version 3 iolog\n${lines.join('\n')}\n`));
    expect(found.map(({ op, offset, length, start, end }) => [op, offset, length, start, end])).toEqual([
      ['read', 0, 4096, 10_000, undefined],
      ['write', 4096, 512, 20_000, undefined],
      ['discard', 0, 512, 30_000, undefined],
      ['flush', 0, 0, 40_000, undefined],
    ]);
  });

  test('of version 2, with waits that add up', async () => {
    const lines = ['f add', 'f open', 'f read 0 4096', 'f wait 150 0', 'f wait 50 0', 'f datasync 0 0', 'f close'];
    const { requests: found, source } = await readTrace(file(`fio version 2 iolog\n${lines.join('\n')}\n`));
    expect(found.map(({ op, start }) => [op, start])).toEqual([
      ['read', 0],
      ['flush', 200_000],
    ]);
    expect(source.parser?.timed).toBe(true);
  });
});

describe('blkparse', () => {
  const event = (time: string, action: string, kind: string, range: string) =>
    `  8,0    3        1     ${time}   697  ${action}   ${kind} ${range} [proc]`;

  test('from issue to completion', async () => {
    const lines = [
      event('0.000000000', 'Q', 'W', '2048 + 8'),
      event('0.000002000', 'D', 'W', '2048 + 8'),
      event('0.000003000', 'D', 'FWFS', '8192 + 8'),
      event('0.000004000', 'C', 'WFS', '8192 + 8'),
      event('0.000009000', 'C', 'W', '2048 + 8'),
      event('1.000000001', 'D', 'D', '0 + 2048'),
      '',
      'CPU0 (8,0):',
      ' Reads Queued:  0',
    ];
    const { requests: found } = await readTrace(file(lines.join('\n')));
    expect(found.map(({ op, offset, length, flags, start, end }) => [op, offset, length, flags, start, end])).toEqual([
      ['write', 1048576, 4096, 0, 2000, 9000],
      ['flush', 0, 0, 0, 3000, undefined],
      ['write', 4194304, 4096, 1, 3000, 4000],
      ['discard', 0, 1048576, 0, 1000000001, undefined],
    ]);
  });

  test('of what was queued, where there is no more', async () => {
    const lines = [event('0.000000000', 'Q', 'R', '2048 + 8'), event('0.000000500', 'Q', 'WS', '0 + 1')];
    const { requests: found } = await readTrace(file(`${lines.join('\n')}\n`));
    expect(found.map(({ op, offset, start }) => [op, offset, start])).toEqual([
      ['read', 1048576, 0],
      ['write', 0, 500],
    ]);
  });

  test('with another line among the events', async () => {
    const text = `${event('0.000000000', 'Q', 'R', '2048 + 8')}\nhello\n`;
    await expect(readTrace(file(text))).rejects.toThrow("line 2: it is no event of blkparse: 'hello'");
  });
});
