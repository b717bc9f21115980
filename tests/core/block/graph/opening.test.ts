import { linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Backend } from '../../../../src/core/block/backend/backend.ts';
import { displayName } from '../../../../src/core/block/graph/file-name.ts';
import type { Node } from '../../../../src/core/block/graph/node.ts';
import { type OpenSettings, openNode } from '../../../../src/core/block/graph/open.ts';
import { operations } from '../../../../src/core/block/graph/operations.ts';
import { type NodeSpec, specFromFileName, specFromOptions } from '../../../../src/core/block/graph/spec.ts';
import { driverList } from '../../../../src/drivers/index.ts';
import { Spy } from '../../../support/spy-driver.ts';
import { tempDir } from '../../../support/temp.ts';
import { holder } from './nodes.ts';
import { type GraphOptions, openFiles, testGraph, writeHeader } from './support.ts';

const READ_ONLY: OpenSettings = { modes: { readOnly: true } };

async function open(spec: NodeSpec | string, graph = testGraph(), settings = READ_ONLY): Promise<Node> {
  return openNode(graph, typeof spec === 'string' ? specFromFileName(graph.settings.drivers, spec) : spec, settings);
}

function names(node: Node): string[] {
  const found: string[] = [];
  for (let at: Node | undefined = node; at; at = at.backing?.node) found.push(at.fileName);
  return found;
}

function rawFile(path: string, size = 4096): string {
  writeFileSync(path, Buffer.alloc(size, 7));
  return path;
}

test('a format that the header names and nobody knows can be given by the user', async () => {
  const dir = tempDir();
  const header = writeHeader(join(dir, 'a'), { backing: rawFile(join(dir, 'b')), backingFormat: 'no' });
  await expect(open(header)).rejects.toThrow(/could not open backing file of '.*a': unknown driver 'no'/);
  const graph = testGraph();
  const spec = specFromFileName(graph.settings.drivers, header);
  const node = await open({ ...spec, backing: { driver: 'raw' } }, graph);
  expect(names(node)).toEqual([join(dir, 'a'), join(dir, 'b')]);
});

describe('a failed opening leaves nothing open', () => {
  const cases: [string, (folder: string) => NodeSpec | string][] = [
    ['no such file', (dir) => join(dir, 'none')],
    ['a directory', (dir) => dir],
    ['no such backing file', (dir) => writeHeader(join(dir, 'a'), { backing: 'none' })],
    ['no such data file', (dir) => writeHeader(join(dir, 'a'), { backing: rawFile(join(dir, 'b')), dataFile: 'none' })],
    ['driver, before its children', (dir) => writeHeader(join(dir, 'a'), { fail: 'before children' })],
    [
      'driver, after its children',
      (dir) =>
        writeHeader(join(dir, 'a'), {
          backing: rawFile(join(dir, 'b')),
          dataFile: rawFile(join(dir, 'c')),
          fail: 'after children',
        }),
    ],
    [
      'driver, while a child is being opened',
      (dir) => writeHeader(join(dir, 'a'), { backing: rawFile(join(dir, 'b')), fail: 'together' }),
    ],
    [
      'unknown option',
      (dir) => ({ driver: 'raw', wrong: 1, file: { driver: 'file', filename: rawFile(join(dir, 'a')) } }),
    ],
    ['file missing', () => ({ driver: 'raw' })],
    ['file null', () => ({ driver: 'raw', file: null })],
    ['nothing', () => ({})],
    ['unknown protocol', () => 'nope:thing'],
    ['empty protocol', () => ':thing'],
    ['unknown driver', (dir) => ({ driver: 'nope', file: { driver: 'file', filename: rawFile(join(dir, 'a')) } })],
    [
      'unknown backing format',
      (dir) => writeHeader(join(dir, 'a'), { backing: rawFile(join(dir, 'b')), backingFormat: 'no' }),
    ],
    ['itself as backing file', (dir) => writeHeader(join(dir, 'a'), { backing: 'a' })],
    [
      'raw window past the end',
      (dir) => ({ driver: 'raw', offset: 65536, file: { driver: 'file', filename: rawFile(join(dir, 'a')) } }),
    ],
    ['NUL in a backing name', (dir) => writeHeader(join(dir, 'a'), { backing: 'b\0c' })],
    ['aio=native without direct', (dir) => ({ driver: 'file', filename: rawFile(join(dir, 'a')), aio: 'native' })],
  ];
  test.each(cases)('%s', async (_name, make) => {
    const dir = tempDir();
    const graph = testGraph();
    const error = await open(make(dir), graph).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).not.toMatch(/[\n.]$|\n/);
    // What was still being opened when the driver gave up ends on its own.
    await expect.poll(() => [openFiles(dir), [...graph.nodes.keys()]], { interval: 1 }).toEqual([[], []]);
    // Names that were kept for the attempt are free again.
    graph.dropName(graph.reserveName('a-name'));
  });

  test('a conflict of permissions at attaching', async () => {
    const dir = tempDir();
    const graph = testGraph();
    const spec = { driver: 'file', filename: rawFile(join(dir, 'a')) };
    const settings = { user: 'the test', permissions: { perm: 2, shared: 1 } };
    await using _first = await Backend.open(graph, { driver: 'raw', file: spec }, settings);
    await expect(Backend.open(graph, { driver: 'raw', file: spec }, settings)).rejects.toThrow('Failed to get');
    expect(openFiles(dir)).toHaveLength(1);
    expect(graph.nodes.size).toBe(2);
  });

  test('a node that was given by name stays its owner’s', async () => {
    const dir = tempDir();
    const graph = testGraph();
    const file = await open({ driver: 'file', filename: rawFile(join(dir, 'a')), 'node-name': 'mine' }, graph);
    graph.hold(file, holder);
    await expect(open({ driver: 'raw', offset: 1 << 20, file: 'mine' }, graph)).rejects.toThrow('past the end');
    expect(graph.find('mine')).toBe(file);
    expect(file.parents.size).toBe(0);
  });
});

describe('names', () => {
  test('a plain name, relative to this process, and one with `file:`', async () => {
    const dir = tempDir();
    const path = rawFile(join(dir, 'a:b'));
    for (const name of [path, `file:${path}`]) {
      const node = await open(name);
      expect([node.driver.name, node.child('file')?.node.fileName, node.probed]).toEqual(['raw', path, true]);
    }
    await expect(open('a:b')).rejects.toThrow("unknown protocol 'a'");
    await expect(open('')).rejects.toThrow('must not be empty');
  });

  test('a relative name in a header is resolved against the image, also of a json: name', async () => {
    const dir = tempDir();
    mkdirSync(join(dir, 'sub'));
    rawFile(join(dir, 'base'));
    const top = writeHeader(join(dir, 'sub', 'top'), { backing: '../base' });
    expect(names(await open(top))).toEqual([top, `${dir}/sub/../base`]);
    const json = `json:${JSON.stringify({ driver: 'bytest', 'file.driver': 'file', 'file.filename': top })}`;
    expect(names(await open(json))).toEqual([top, `${dir}/sub/../base`]);
  });

  test('a name among options, or behind `file:`, is a path as it stands, whatever its colons', async () => {
    const dir = tempDir();
    rawFile(join(dir, 'nbd:x'));
    const before = process.cwd();
    process.chdir(dir);
    try {
      for (const spec of [specFromOptions('driver=raw,file.filename=nbd:x'), 'file:nbd:x']) {
        const node = await open(spec);
        expect(displayName(node)).toBe('./nbd:x');
        expect((await open(displayName(node))).io.size).toBe(node.io.size);
      }
      await expect(open(specFromOptions('file.filename=file:nbd:x'))).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      process.chdir(before);
    }
  });

  test('json:, option strings and objects make the same node', async () => {
    const dir = tempDir();
    const path = rawFile(join(dir, 'a'));
    const flat = `driver=raw,offset=512,size=1k,file.driver=file,file.filename=${path}`;
    const tree = { driver: 'raw', offset: 512, size: 1024, file: { driver: 'file', filename: path } };
    const specs = [specFromOptions(flat), tree, specFromFileName(driverList, `json:${JSON.stringify(tree)}`)];
    for (const spec of specs) {
      const node = await open(spec);
      expect(node.io.size).toBe(1024);
      expect(displayName(node)).toMatch(/^json:\{"driver": "raw", .*"file": \{"driver": "file", "filename": /);
      expect((await open(displayName(node))).io.size).toBe(1024);
    }
  });

  test('a format over json: of a protocol, and a json: name of another format', async () => {
    const dir = tempDir();
    const path = rawFile(join(dir, 'a'));
    const json = `json:{"driver":"file","filename":"${path}"}`;
    expect((await open(specFromFileName(driverList, json, 'raw'))).driver.name).toBe('raw');
    expect((await open(json)).driver.name).toBe('file');
    const other = `json:{"driver":"raw","file":{"driver":"file","filename":"${path}"}}`;
    expect(() => specFromFileName(driverList, other, 'qcow2')).toThrow("names driver 'raw'");
  });

  test('node names are checked, unique, and free again', async () => {
    const dir = tempDir();
    const graph = testGraph();
    const spec = { driver: 'file', filename: rawFile(join(dir, 'a')), 'node-name': 'n1' };
    const node = await open(spec, graph);
    await expect(open(spec, graph)).rejects.toThrow("already a node named 'n1'");
    for (const bad of ['1a', 'a b', '', 'x'.repeat(32), '#block000']) {
      await expect(open({ ...spec, 'node-name': bad }, graph)).rejects.toThrow('not a valid node name');
    }
    await graph.closeIfUnused(node);
    await open(spec, graph);
  });

  test('a plain image shows its plain name', async () => {
    const dir = tempDir();
    const base = rawFile(join(dir, 'base'));
    const top = writeHeader(join(dir, 'top'), { backing: base });
    expect(displayName(await open(top))).toBe(top);
    expect(displayName(await open({ driver: 'bytest', file: { driver: 'file', filename: top }, backing: null }))).toBe(
      top,
    );
    const over = await open({
      driver: 'bytest',
      file: { driver: 'file', filename: top },
      backing: { driver: 'null-co', size: 512 },
    });
    expect(displayName(over)).toContain('"backing": {"driver": "null-co", "size": 512}');
    expect(displayName(await open('null-co://'))).toBe('null-co://');
    expect(displayName(await open({ driver: 'null-co' }))).toBe('null-co://');
    expect(displayName(await open({ driver: 'null-co', size: 4096 }))).toBe('json:{"driver": "null-co", "size": 4096}');
  });
});

describe('the backing file', () => {
  function pair(dir: string): { top: string; base: string } {
    const base = rawFile(join(dir, 'base'));
    return { top: writeHeader(join(dir, 'top'), { backing: 'base', backingFormat: 'raw' }), base };
  }

  test('is read-only, and of the format in the header', async () => {
    const { top } = pair(tempDir());
    const node = await open({ driver: 'bytest', file: { driver: 'file', filename: top } }, testGraph(), {});
    expect([node.modes.readOnly, node.backing?.node.modes.readOnly]).toEqual([false, true]);
    expect([node.backing?.node.driver.name, node.backing?.node.probed]).toEqual(['raw', false]);
  });

  test.each([null, ''])('%j is none', async (backing) => {
    const { top } = pair(tempDir());
    const node = await open({ driver: 'bytest', backing, file: { driver: 'file', filename: top } });
    expect(node.backing).toBeUndefined();
  });

  test('options for it go on top of what the header says, or replace it', async () => {
    const dir = tempDir();
    const { top, base } = pair(dir);
    const file = { driver: 'file', filename: top };
    const named = await open({ driver: 'bytest', file, backing: { 'node-name': 'below' } });
    expect([named.backing?.node.name, named.backing?.node.child('file')?.node.fileName]).toEqual([
      'below',
      join(dir, 'base'),
    ]);
    const other = await open({ driver: 'bytest', file, backing: { driver: 'null-co', size: 1024 } });
    expect([other.backing?.node.driver.name, other.backingOverridden]).toEqual(['null-co', true]);
    const graph = testGraph();
    const given = await open({ driver: 'file', filename: base, 'node-name': 'given' }, graph);
    const referring = await open({ driver: 'bytest', file, backing: 'given' }, graph);
    expect(referring.backing?.node).toBe(given);
    await expect(open({ driver: 'bytest', file, backing: 'nobody' }, graph)).rejects.toThrow("no node named 'nobody'");
  });

  test('noBacking leaves what headers name alone', async () => {
    const top = writeHeader(join(tempDir(), 'top'), { backing: 'none' });
    const node = await open(top, testGraph(), { ...READ_ONLY, noBacking: true });
    expect(node.backing).toBeUndefined();
  });

  test('an error names the image that asked, once', async () => {
    const dir = tempDir();
    const deep = writeHeader(join(dir, 'deep'), { backing: 'none' });
    const mid = writeHeader(join(dir, 'mid'), { backing: 'deep' });
    const top = writeHeader(join(dir, 'top'), { backing: mid });
    const error = await open(top).catch((reason: unknown) => reason as Error);
    expect((error as Error).message).toMatch(new RegExp(`^could not open backing file of '${deep}': .*none`));
  });
});

describe('chains', () => {
  function chain(dir: string, length: number): string {
    rawFile(join(dir, '0'));
    for (let at = 1; at < length; at++) {
      writeHeader(join(dir, String(at)), { backing: String(at - 1), backingFormat: at === 1 ? 'raw' : 'bytest' });
    }
    return join(dir, String(length - 1));
  }

  test('of 512 images open, answer and close; longer ones are refused', { timeout: 30_000 }, async () => {
    const dir = tempDir();
    const graph = testGraph();
    const backend = await Backend.open(graph, specFromFileName(graph.settings.drivers, chain(dir, 512)), {
      user: 'the test',
      permissions: operations.read.image,
      open: READ_ONLY,
    });
    expect(graph.nodes.size).toBe(1024);
    const status = await backend.chainStatus(0, 4096);
    expect([status.depth, status.data, status.allocated]).toEqual([511, true, true]);
    await backend.close();
    expect(openFiles(dir)).toEqual([]);
    await expect(open(chain(dir, 513), graph)).rejects.toThrow('longer than 512 images');
    expect(openFiles(dir)).toEqual([]);
  });

  test('that loop are refused, also through links and json: names', async () => {
    const dir = tempDir();
    symlinkSync('a', join(dir, 'link'));
    const cases = [
      'a',
      './a',
      'link',
      `json:{"driver":"bytest","file":{"driver":"file","filename":"${join(dir, 'a')}"}}`,
    ];
    for (const name of cases) {
      writeHeader(join(dir, 'a'), { backing: 'b' });
      writeHeader(join(dir, 'b'), { backing: name, ...(name.startsWith('json') ? {} : { backingFormat: 'bytest' }) });
      await expect(open(join(dir, 'a'))).rejects.toThrow('loops');
    }
    expect(openFiles(dir)).toEqual([]);
  });
});

describe('the policy on references', () => {
  const opened = async (path: string, references: GraphOptions['references']): Promise<boolean> => {
    const attempt = open(path, testGraph(references === undefined ? {} : { references }));
    return attempt.then(
      () => true,
      (error: unknown) => {
        expect((error as Error).message).toContain(`--refs=${references} does not allow`);
        return false;
      },
    );
  };

  test('none, same-dir and all', async () => {
    const dir = tempDir();
    mkdirSync(join(dir, 'home/sub'), { recursive: true });
    rawFile(join(dir, 'outside'));
    rawFile(join(dir, 'home/beside'));
    rawFile(join(dir, 'home/..beside'));
    rawFile(join(dir, 'home/sub/below'));
    symlinkSync('../outside', join(dir, 'home/out'));
    symlinkSync('sub/below', join(dir, 'home/in'));
    linkSync(join(dir, 'home/beside'), join(dir, 'home/hard'));
    const top = join(dir, 'home/top');
    const beside = ['beside', '..beside', 'sub/below', 'in', 'hard', join(dir, 'home/beside'), '../home/beside'];
    const elsewhere = [
      '../outside',
      'out',
      join(dir, 'outside'),
      `json:{"driver":"file","filename":"${join(dir, 'home/beside')}"}`,
    ];
    for (const backing of [...beside, ...elsewhere]) {
      writeHeader(top, { backing });
      expect([backing, await opened(top, 'none')]).toEqual([backing, false]);
      expect([backing, await opened(top, 'same-dir')]).toEqual([backing, beside.includes(backing)]);
      expect([backing, await opened(top, 'all')]).toEqual([backing, true]);
    }
    for (const backing of ['none', '/dev/zero', 'sub', 'null-co://']) {
      writeHeader(top, { backing });
      expect([backing, await opened(top, 'same-dir')]).toEqual([backing, false]);
    }
  });

  test('what the user names is not asked about', async () => {
    const dir = tempDir();
    const base = rawFile(join(dir, 'base'));
    mkdirSync(join(dir, 'x'));
    const top = writeHeader(join(dir, 'x/top'), { backing: '../base' });
    const spec = {
      driver: 'bytest',
      file: { driver: 'file', filename: top },
      backing: { driver: 'file', filename: base },
    };
    expect((await open(spec, testGraph({ references: 'none' }))).backing?.node.fileName).toBe(base);
  });
});

describe('probing', () => {
  test.each([0, 1, 511, 512, 2047, 2048, 5000])('a file of %i bytes is raw', async (size) => {
    const node = await open(rawFile(join(tempDir(), 'a'), size));
    expect([node.driver.name, node.io.size]).toEqual(['raw', Math.ceil(size / 512) * 512]);
  });

  test('is not done below an explicit format, and not for a given driver', async () => {
    const dir = tempDir();
    const inner = writeHeader(join(dir, 'a'), {});
    const node = await open({ driver: 'raw', file: { filename: inner } });
    expect([node.driver.name, node.child('file')?.node.driver.name]).toEqual(['raw', 'file']);
  });

  test('a guessed raw image warns when it may be written to', async () => {
    const warnings: string[] = [];
    const path = rawFile(join(tempDir(), 'a'));
    await open(path, testGraph({ warnings }), READ_ONLY);
    expect(warnings).toEqual([]);
    await open(path, testGraph({ warnings }), {});
    expect(warnings).toHaveLength(1);
  });
});

describe('modes', () => {
  test('auto-read-only opens the whole stack read-only where the file below refuses writing', async () => {
    const path = rawFile(join(tempDir(), 'a'));
    const graph = testGraph();
    const file = await open({ driver: 'file', filename: path, 'node-name': 'ro' }, graph);
    graph.hold(file, holder);
    for (const driver of ['raw', 'bytest']) {
      if (driver === 'bytest') writeHeader(path, {});
      const node = await open({ driver, file: 'ro', 'auto-read-only': true }, graph, {});
      expect([driver, node.modes.readOnly]).toEqual([driver, true]);
    }
  });

  test('force-share is for read-only nodes, and unmapping zeroes needs discards', async () => {
    const path = rawFile(join(tempDir(), 'a'));
    const spec = { driver: 'file', filename: path };
    await expect(open({ ...spec, 'force-share': true }, testGraph(), {})).rejects.toThrow('read-only images');
    await expect(open({ ...spec, 'detect-zeroes': 'unmap' }, testGraph(), {})).rejects.toThrow('discard=unmap');
    await open({ ...spec, 'detect-zeroes': 'unmap', discard: 'unmap' }, testGraph(), {});
  });

  test('cache.direct and friends are taken in both notations', async () => {
    const path = rawFile(join(tempDir(), 'a'));
    for (const cache of [{ 'cache.no-flush': true }, { cache: { 'no-flush': 'on' } }]) {
      expect((await open({ driver: 'file', filename: path, ...cache })).modes.noFlush).toBe(true);
    }
  });
});

describe('closing', () => {
  test('a driver that fails to close still lets go of its children', async () => {
    const dir = tempDir();
    const graph = testGraph();
    const top = writeHeader(join(dir, 'a'), { fail: 'closing', backing: rawFile(join(dir, 'b')) });
    const node = await open(top, graph);
    await expect(graph.closeIfUnused(node)).rejects.toThrow('closing fails');
    expect(openFiles(dir)).toEqual([]);
    expect(graph.nodes.size).toBe(0);
  });

  test('is from the top down, once, after what is in flight', async () => {
    const dir = tempDir();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const spies = [new Spy(), new Spy({ hold: ({ op }) => (op === 'read' ? held : undefined) })];
    const graph = testGraph({
      drivers: [spies[0]?.entry('top'), spies[1]?.entry('low')].filter((each) => each !== undefined),
    });
    const file = { driver: 'file', filename: rawFile(join(dir, 'a')) };
    const node = await open({ driver: 'top', file: { driver: 'low', file } }, graph);
    const backend = Backend.attach(graph, node, { user: 'the test', permissions: operations.read.image });
    const reading = backend.read(0, Buffer.alloc(512));
    const closing = Promise.all([backend.close(), backend.close()]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(spies.map((spy) => spy.lines('close'))).toEqual([[], []]);
    expect(() =>
      graph.attach({ parent: backend, node, name: 'late', role: 'filtered' }, { perm: 0, shared: 15 }),
    ).toThrow('being closed');
    release();
    await reading;
    await closing;
    expect(spies.map((spy) => spy.lines('close'))).toEqual([['close 0+0'], ['close 0+0']]);
    expect(openFiles(dir)).toEqual([]);
    await expect(async () => backend.read(0, Buffer.alloc(1))).rejects.toThrow('no medium');
  });

  test('a short file grows no taller than it is', async () => {
    const path = rawFile(join(tempDir(), 'a'), 1000);
    const node = await open(path);
    truncateSync(path, 1000);
    const buf = Buffer.alloc(1024, 0xee);
    await node.io.read(0, buf);
    expect(buf.subarray(0, 1000).every((byte) => byte === 7)).toBe(true);
    expect(buf.subarray(1000).every((byte) => byte === 0)).toBe(true);
  });
});
