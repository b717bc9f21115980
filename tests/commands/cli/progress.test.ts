import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hex, prettyJson, row, sizeWithBytes } from '../../../src/commands/cli/output.ts';
import { startProgress } from '../../../src/commands/cli/progress.ts';
import { duration } from '../../../src/commands/cli/progress-bar.ts';
import { RateMeter } from '../../../src/commands/cli/rate-meter.ts';
import { fakeIo } from './fake-io.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['hrtime'] }));
afterEach(() => void vi.useRealTimers());

describe('startProgress', () => {
  it('rewrites a line of percents when piped', async () => {
    const io = fakeIo();
    const progress = await startProgress(io, { mode: 'human', phase: 'convert' });
    for (const done of [0, 1, 5, 50, 55, 1000]) progress.update(done, 1000);
    progress.finish();
    progress[Symbol.dispose]();
    expect(io.out()).toBe('    (0.00/100%)\r    (5.00/100%)\r    (100.00/100%)\r    (100.00/100%)\r\n');
    expect(io.err()).toBe('');
  });
  it('ends at 100 % whatever was reported, but not after a failure', async () => {
    const io = fakeIo();
    (await startProgress(io, { mode: 'human', phase: 'x' })).finish();
    expect(io.out()).toBe('    (0.00/100%)\r    (100.00/100%)\r\n');
    const failed = fakeIo();
    const progress = await startProgress(failed, { mode: 'human', phase: 'x' });
    progress.update(33, 100);
    progress[Symbol.dispose]();
    expect(failed.out()).toBe('    (0.00/100%)\r    (33.00/100%)\r\n');
  });
  it('says nothing when quiet, but answers SIGUSR1 on stderr', async () => {
    for (const options of [{ mode: undefined }, { mode: 'human', quiet: true }] as const) {
      const io = fakeIo();
      const progress = await startProgress(io, { ...options, phase: 'x' });
      progress.update(10, 100);
      io.usr1();
      expect(io.err()).toBe('');
      progress.update(25, 100);
      progress.update(26, 100);
      progress.finish();
      io.usr1();
      expect([io.out(), io.err()]).toEqual(['', '    (25.00/100%)\n']);
    }
  });
  it('writes JSON lines, a few each second', async () => {
    const io = fakeIo();
    const progress = await startProgress(io, { mode: 'json', phase: 'convert' });
    for (let done = 0; done <= 1000; done++) {
      vi.advanceTimersByTime(1);
      progress.update(done, 2000);
    }
    progress.phase('flush');
    progress.update(1, 1);
    progress.finish();
    const lines = io
      .err()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(lines.length).toBe(7);
    expect(lines[0]).toEqual({ phase: 'convert', done: 0, total: 0, rate: 0, timeLeft: null });
    expect(lines[3]).toMatchObject({ phase: 'convert', total: 2000, rate: expect.closeTo(1000, -2) });
    expect(lines[5]).toMatchObject({ phase: 'flush' });
    expect(lines[6]).toMatchObject({ phase: 'flush', done: 1, total: 1, timeLeft: 0 });
  });
  it('draws a bar on a terminal, and the plain line there as qemu-img', async () => {
    const io = fakeIo({ tty: true });
    const progress = await startProgress(io, { mode: 'human', phase: 'convert' });
    progress.update(512, 1024);
    progress.finish();
    expect(io.out()).toContain('convert');
    expect(io.out()).toContain('100.0%  1 KiB of 1 KiB');
    expect(io.out().endsWith('\n')).toBe(true);
    const qemu = fakeIo({ tty: true, programName: 'qemu-img' });
    (await startProgress(qemu, { mode: 'human', phase: 'x' })).finish();
    expect(qemu.out()).toBe('    (0.00/100%)\r    (100.00/100%)\r\n');
  });
});

describe('RateMeter', () => {
  it('follows the speed and tells the time left', () => {
    let now = 0;
    const meter = new RateMeter(() => now);
    expect([meter.rate(), meter.timeLeft(10)]).toEqual([0, null]);
    for (let second = 1; second <= 10; second++) {
      now = second * 1000;
      meter.add(second * 100);
    }
    expect(meter.rate()).toBeCloseTo(100, 5);
    expect(meter.timeLeft(1500)).toBe(5);
    for (let second = 11; second <= 30; second++) {
      now = second * 1000;
      meter.add(1000 + (second - 10) * 500);
    }
    expect(meter.rate()).toBeCloseTo(500, -1);
  });
});

describe('duration', () => {
  it.each([
    [0.2, '1s'],
    [59, '59s'],
    [185, '3m05s'],
    [7620, '2h07m'],
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));
});

describe('prettyJson', () => {
  it('indents by four and gives empty lists a line', () => {
    expect(prettyJson({ a: 1, b: undefined, c: [], d: [{ 'é"': '\u{1f600}\n' }], e: { f: null }, g: 2n ** 64n })).toBe(
      [
        '{',
        '    "a": 1,',
        '    "c": [',
        '    ],',
        '    "d": [',
        '        {',
        '            "\\u00E9\\"": "\\uD83D\\uDE00\\n"',
        '        }',
        '    ],',
        '    "e": {',
        '        "f": null',
        '    },',
        '    "g": 18446744073709551616',
        '}',
      ].join('\n'),
    );
  });
});

describe('output helpers', () => {
  it('print sizes, hexadecimal and columns', () => {
    expect(sizeWithBytes(1610612736)).toBe('1.5 GiB (1610612736 bytes)');
    expect([hex(0), hex(65536)]).toEqual(['0', '0x10000']);
    expect(row(['ID', -5], [7, 3], ['long', 2])).toBe('ID      7 long');
  });
});
