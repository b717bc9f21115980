/** `--trace` and `io replay` as a user runs them, alone and together with fio. */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { request, traceText, workload } from '../../core/trace/sample-trace.ts';
import { imgOutput, runProgram } from '../../support/cli.ts';
import { peersFor, runPeer } from '../../support/peers.ts';
import { tempDir } from '../../support/temp.ts';

const SIZE = 16 << 20;

async function io(...args: string[]) {
  return runProgram('io', args);
}

/** Standard output as JSON of a run that must succeed. */
async function report(...args: string[]): Promise<Report> {
  const { code, stdout, stderr } = await io('replay', '--output=json', ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Report;
}

interface Report {
  readonly requests: Readonly<Record<string, { replayed: { count: number; bytes: number; errors: number } }>>;
  readonly verify?: { bytes: number; mismatches: number };
  readonly complete: boolean;
}

async function disk(folder: string, name: string, format = 'raw'): Promise<string> {
  const path = join(folder, name);
  if (format === 'raw') {
    writeFileSync(path, '');
    truncateSync(path, SIZE);
  } else await imgOutput(['create', '-q', '-f', format, path, String(SIZE)]);
  return path;
}

function trace(folder: string, text: string): string {
  const path = join(folder, 'synthetic.jsonl');
  writeFileSync(path, text);
  return path;
}

describe.each([
  ['raw', 'jsonl'],
  ['qcow2', 'jsonl.zst'],
  ['raw', 'jsonl.gz'],
])('a recorded workload on %s, in .%s', (format, ending) => {
  test('replays to the same bytes, and every read is as written', async () => {
    const folder = tempDir();
    const synthetic = trace(folder, traceText(workload(1500, SIZE, 7), { size: SIZE }));
    const [first, second] = [await disk(folder, 'first', format), await disk(folder, 'second', format)];
    const recording = join(folder, `recording.${ending}`);
    const made = await report('-f', format, '--asap', '--trace', recording, synthetic, first);
    const again = await report('-f', format, '--asap', '--verify', recording, second);
    expect(again.complete).toBe(true);
    for (const op of ['read', 'write', 'zero', 'discard']) {
      expect(again.requests[op]?.replayed).toMatchObject({ ...pick(made.requests[op]?.replayed), errors: 0 });
    }
    expect(again.verify?.mismatches).toBe(0);
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true);
    expect((await report('-f', format, '--check', recording, second)).verify?.mismatches).toBe(0);
    const other = await io('replay', '-f', format, '--check', '--seed=9', recording, second);
    expect(other.code).toBe(1);
    expect(other.stdout).toMatch(/^verified .*: \d+ ranges differ\n$/);
  });
});

function pick(side: { count: number; bytes: number } | undefined) {
  return { count: side?.count, bytes: side?.bytes };
}

test('the report is a table, with a picture', async () => {
  const folder = tempDir();
  const synthetic = trace(folder, traceText(workload(200, SIZE), { size: SIZE }));
  const picture = join(folder, 'picture.svg');
  const { code, stdout } = await io(
    'replay',
    '--asap',
    '-f',
    'raw',
    `--plot=${picture}`,
    synthetic,
    await disk(folder, 'a'),
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ +requests +bytes +errors +mean +p50 +p90 +p99 +p99.9 +max\nread +recorded /);
  expect(stdout).toMatch(/\n200 requests in .* per second\), recorded in .*\n$/);
  const svg = readFileSync(picture, 'utf8');
  expect(svg).toMatch(/^<svg xmlns.*<\/svg>\n$/s);
  expect(svg.match(/<polyline/g)).toHaveLength(2);
});

test('the shell and img record, for all images of a command', async () => {
  const folder = tempDir();
  const a = await disk(folder, 'a');
  const file = join(folder, 'shell.jsonl');
  const run = await io(
    '-f',
    'raw',
    '--trace',
    file,
    '-c',
    'write -q 0 64k',
    '-c',
    'close',
    '-c',
    `open ${a}`,
    '-c',
    'read -q 1 5',
    a,
  );
  expect(run).toMatchObject({ code: 0 });
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  expect(lines.filter((line) => line.includes('"op"')).map((line) => JSON.parse(line))).toMatchObject([
    { n: 0, op: 'write', offset: 0, length: 65536, flags: 1 },
    { n: 1, op: 'flush' },
    { n: 2, op: 'read', offset: 1, length: 5 },
    { n: 3, op: 'flush' },
  ]);
  const converted = join(folder, 'convert.jsonl');
  await imgOutput(['--trace', converted, 'convert', '-O', 'qcow2', a, join(folder, 'b')]);
  const nodes = readFileSync(converted, 'utf8').match(/"file":"[^"]*"/g);
  expect(nodes).toEqual([`"file":"${a}"`, `"file":"${join(folder, 'b')}"`]);
  expect(await imgOutput(['compare', '-f', 'raw', a, join(folder, 'b')])).toBe('Images are identical.\n');
});

test.each([
  ['enable=x', 'io'],
  ['x', 'qemu-io'],
] as const)("QEMU's --trace=%s of %s stays without effect", async (value, calledAs) => {
  const folder = tempDir();
  const args = ['-f', 'raw', `--trace=${value}`, '-c', 'length', await disk(folder, 'a')];
  const { code, stderr } = await runProgram('io', args, { calledAs, cwd: folder });
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: `${calledAs}: warning: there are no trace events, '${value}' matches none\n`,
  });
});

test('a trace disk that is full warns once, and the commands go on', async () => {
  const { code, stderr } = await io(
    '-f',
    'raw',
    '--trace=/dev/full',
    '-c',
    'write -q 0 4k',
    '-c',
    'read -q 0 4k',
    await disk(tempDir(), 'a'),
  );
  expect(code).toBe(0);
  expect(stderr).toBe("io: warning: trace file '/dev/full': No space left on device; tracing ends here\n");
});

test('an image that was named in place of the trace is not written over', async () => {
  const image = await disk(tempDir(), 'a');
  for (const args of [
    ['-c', 'read 0 4k'],
    ['-r', '-c', 'read 0 4k'],
  ]) {
    const { code, stderr } = await io('-f', 'raw', '--trace', image, ...args, image);
    expect(code).toBe(1);
    expect(stderr).toMatch(/cannot record in '.*': it is not empty, and holds no trace \(Name another file, .*\)\n$/);
  }
  expect(readFileSync(image).length).toBe(SIZE);
});

test('the target of a convert cannot be its trace', async () => {
  const folder = tempDir();
  const [image, target] = [await disk(folder, 'a'), join(folder, 'target')];
  const { code, stderr } = await runProgram('img', [
    '--trace',
    target,
    'convert',
    '-f',
    'raw',
    '-O',
    'raw',
    image,
    target,
  ]);
  expect(code).toBe(1);
  expect(stderr).toContain(`Could not create '${target}': Failed to get "write" lock`);
  expect(readFileSync(target, 'utf8')).toMatch(/^{"format":"blockyard-trace".*\n/);
});

test('a pipe takes a trace, and is an error when nobody reads from it', async () => {
  const folder = tempDir();
  const [pipe, image] = [join(folder, 'pipe'), await disk(folder, 'a')];
  spawnSync('mkfifo', [pipe]);
  const args = ['-f', 'raw', '--trace', pipe, '-c', 'read -q 0 4k', image];
  const { code, stderr } = await io(...args);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: `io: can't open device ${image}: cannot record in '${pipe}': nobody reads from it\n`,
  });
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(reader));
  expect((await io(...args)).code).toBe(0);
  expect(readFileSync(reader, 'utf8')).toMatch(/"op":"read".*\n.*"op":"flush".*\n{"requests":2}\n$/);
});

const bad: [what: string, args: string[], text: string, line: RegExp][] = [
  [
    'a wrong version',
    [],
    traceText([]).replace('"version":1', '"version":3'),
    /^io: trace '.*': line 1: version 3 of the format is not supported, only 1\n$/,
  ],
  ['garbage', [], `${traceText([])}what\n`, /^io: trace '.*': line 3: it is no JSON: 'what'\n$/],
  [
    'an offset outside',
    [],
    traceText([request({ offset: 2 ** 40 })]),
    /^io: record 0, a read of 512 bytes at 1099511627776 lies outside the disk of 16777216 bytes \(See --map-offset.*\)\n$/,
  ],
  [
    'an absurd length',
    ['--map-offset=modulo'],
    traceText([request({ length: 2 ** 50 })]),
    /^io: record 0, a read of 1125899906842624 bytes at 0 is longer than the disk of 16777216 bytes\n$/,
  ],
  ['a node that is not there', ['--node=x'], traceText([request()]), /^io: trace '.*' has no node 'x', only 'd'\n$/],
  ['a wrong kind', ['--only=looks'], traceText([]), /^io: option '--only' expects some of reads, .*, not 'looks'\n$/],
  [
    'a wrong speed',
    ['--speed=0'],
    traceText([]),
    /^io: option '--speed' expects a number from 0.000001 to 1000000000, not '0'\n$/,
  ],
];
test.each(bad)('%s ends in one line', async (_, args, text, line) => {
  const folder = tempDir();
  const { code, stderr: said } = await io(
    'replay',
    '-q',
    '-f',
    'raw',
    ...args,
    trace(folder, text),
    await disk(folder, 'a'),
  );
  // A wrong command line is told where the help is, too.
  const stderr = said.replace("Try 'io replay --help' for more information\n", '');
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(line) });
  expect(stderr.match(/\n/g)).toHaveLength(1);
});

test('a truncated trace is replayed as far as it goes', async () => {
  const folder = tempDir();
  const text = traceText(workload(50, SIZE), { size: SIZE });
  const { code, stderr } = await io(
    'replay',
    '-q',
    '--asap',
    '-f',
    'raw',
    trace(folder, text.slice(0, -60)),
    await disk(folder, 'a'),
  );
  expect(code).toBe(0);
  expect(stderr).toMatch(/^io: warning: trace '.*': it is cut off in the middle of a record\n$/);
});

test('a long trace is read in bounded memory', async () => {
  const folder = tempDir();
  const records = Array.from({ length: 300_000 }, (_, number) =>
    request({ number, start: number * 100, end: number * 100 + 50 }),
  );
  const path = trace(folder, traceText(records));
  const { code, peakMemory } = await runProgram(
    'io',
    ['replay', '-q', '--asap', '--image-opts', path, 'driver=null-co,size=1M'],
    { heapLimit: 64, measureMemory: true },
  );
  expect(code).toBe(0);
  expect(peakMemory).toBeLessThan(200 << 20);
}, 60_000);

const fio = peersFor('fio');
const fioJob = (image: string, ...more: string[]) =>
  runPeer('fio', ['--name=job', `--filename=${image}`, '--output-format=json', '--ioengine=psync', ...more]);

function counts(stdout: string) {
  const [job] = (JSON.parse(stdout.slice(stdout.indexOf('{'))) as FioReport).jobs;
  return { read: [job?.read.total_ios, job?.read.io_bytes], write: [job?.write.total_ios, job?.write.io_bytes] };
}

interface FioSide {
  readonly total_ios: number;
  readonly io_bytes: number;
}
interface FioReport {
  readonly jobs: readonly { readonly read: FioSide; readonly write: FioSide }[];
}

describe.skipIf(fio.missing)('fio', () => {
  test('replays our log', async () => {
    const folder = tempDir();
    const image = await disk(folder, 'a');
    const requests = workload(400, SIZE).filter(({ op }) => op !== 'discard' && op !== 'zero');
    const source = trace(
      folder,
      traceText(
        requests.map((each, number) => ({ ...each, number })),
        { size: SIZE },
      ),
    );
    const log = join(folder, 'log');
    expect(await io('replay', '--export-fio', log, source, image)).toMatchObject({ code: 0, stderr: '' });
    const { code, stdout, stderr } = await fioJob(image, `--read_iolog=${log}`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const sum = (op: string) => {
      const own = requests.filter((each) => each.op === op);
      return [own.length, own.reduce((total, { length }) => total + length, 0)];
    };
    expect(counts(stdout)).toEqual({ read: sum('read'), write: sum('write') });
  });

  test('writes a log that we replay', async () => {
    const folder = tempDir();
    const image = await disk(folder, 'a');
    const log = join(folder, 'log');
    const { stdout } = await fioJob(
      image,
      '--size=16M',
      '--rw=randrw',
      '--bsrange=4k-64k',
      '--io_size=4M',
      '--fsync=8',
      `--write_iolog=${log}`,
    );
    const theirs = counts(stdout);
    const text = readFileSync(log, 'utf8');
    const second = `fio version 2 iolog\n${text
      .split('\n')
      .slice(1)
      .map((line) => line.replace(/^\d+ /, ''))
      .join('\n')}`;
    for (const [name, content] of [
      ['three', text],
      ['two', second],
    ] as const) {
      const path = join(folder, name);
      writeFileSync(path, content);
      const { requests, verify } = await report('--verify', '--asap', '-f', 'raw', path, image);
      const side = (op: string) => [requests[op]?.replayed.count, requests[op]?.replayed.bytes];
      expect({ read: side('read'), write: side('write') }).toEqual(theirs);
      expect(verify?.mismatches).toBe(0);
    }
  });
});
