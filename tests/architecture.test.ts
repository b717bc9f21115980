/**
 * The rules of the house, read off the sources: who may import whom, who may print, how long and how named a
 * file may be, which constructs are not used, and that each room says what belongs in it.
 */
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseSource, readSources } from './support/sources.ts';

/** Rooms by altitude: a file imports from its own room and from rooms in the same line or above. */
const ALTITUDES: readonly (readonly string[])[] = [
  ['src/core/bytes', 'src/core/errors'],
  ['src/core/async', 'src/core/options', 'src/core/bitmap'],
  ['src/core/host'],
  ['src/core/crypto', 'src/core/nbd'],
  ['src/core/trace'],
  ['src/core/block'],
  ['src/core/job', 'src/core/export'],
  ['src/core/qmp'],
  ['src/drivers'],
  ['src/library'],
  ['src/commands/cli'],
  ['src/commands/img', 'src/commands/io', 'src/commands/nbd'],
  ['src/index.ts'],
];

const MAX_LINES = 400;
const MIN_CHARTER = 2;
const MAX_CHARTER = 12;

const sources = readSources('src');

describe('sources', () => {
  test('the only rooms are those of the plan', () => {
    expect(sources.filter((source) => altitude(source.path) < 0).map((source) => source.path)).toEqual([]);
  });

  test('import only from rooms above them', () => {
    expect(importFaults((from, to) => altitude(to) >= 0 && altitude(to) <= altitude(from))).toEqual([]);
  });

  test('core imports neither drivers nor commands', () => {
    expect(importFaults((from, to) => !from.startsWith('src/core/') || to.startsWith('src/core/'))).toEqual([]);
  });

  test('a driver imports its own folder and the public face of core/block, never another driver', () => {
    expect(importFaults(driverMayImport)).toEqual([]);
  });

  test('the list of drivers is the only way into a driver', () => {
    const intoDriver = (path: string) => driverOf(path) !== undefined;
    const allowed = (from: string, to: string) =>
      !intoDriver(to) || from === 'src/drivers/index.ts' || driverOf(from) === driverOf(to);
    expect(importFaults(allowed)).toEqual([]);
  });

  test('img, io and nbd share only commands/cli', () => {
    const program = (path: string) => /^src\/commands\/(img|io|nbd)\//.exec(path)?.[1];
    const allowed = (from: string, to: string) => program(to) === undefined || program(to) === program(from);
    expect(importFaults(allowed)).toEqual([]);
  });

  test('print and exit only in commands', () => {
    const silent = sources.filter((source) => !source.path.startsWith('src/commands/'));
    expect(silent.flatMap((source) => source.output.map((what) => `${source.path} ${what}`))).toEqual([]);
  });

  test('import with the file name ending, and nothing from dist or tests', () => {
    const allowed = (_from: string, to: string) => /\.(ts|json)$/.test(to) && /^(src\/|package\.json$)/.test(to);
    expect(importFaults(allowed)).toEqual([]);
  });

  test('use none of the banned constructs', () => {
    const all = [...sources, ...readSources('tests')];
    expect(all.flatMap((source) => source.banned.map((what) => `${source.path} ${what}`))).toEqual([]);
  });

  test(`have at most ${MAX_LINES} lines`, () => {
    const long = sources.filter((source) => source.lines > MAX_LINES);
    expect(long.map((source) => `${source.path}: ${source.lines} lines`)).toEqual([]);
  });

  test('have kebab-case names', () => {
    const all = [...sources, ...readSources('tests')].map((source) => source.path);
    expect(all.filter((path) => !/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+([-.][a-z0-9]+)*$/.test(path))).toEqual([]);
  });

  test('each room opens with its charter', () => {
    const rooms = [...new Set(sources.map((source) => roomOf(source.path)))].sort();
    expect(rooms.filter((room) => !hasCharter(room))).toEqual([]);
  });
});

describe('the reading of sources', () => {
  const text = [
    "import type { A } from './a.ts';",
    "export * from '../b.ts';",
    "const c = (await import('./c.ts')) as import('./d.ts').D;",
    'let any: any = c; any!; // TODO: "process.exit()" is no call',
    "console.log('x');",
  ].join('\n');
  const source = parseSource('src/core/x/y.ts', text);

  test('finds static, dynamic and type imports and re-exports', () => {
    const targets = source.imports.map((item) => item.target).sort();
    expect(targets).toEqual(['src/core/b.ts', 'src/core/x/a.ts', 'src/core/x/c.ts', 'src/core/x/d.ts']);
  });

  test('finds banned constructs in code and words in comments, and nothing in strings', () => {
    expect([...source.banned].sort()).toEqual(['line 4: TODO', 'line 4: a non-null assertion', 'line 4: the type any']);
    expect(source.output).toEqual(['line 5: console.log']);
  });
});

/** Every relative import for which `allowed(from, to)` is false, as `from:line imports to`. */
function importFaults(allowed: (from: string, to: string) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports.flatMap(({ line, target }) =>
      target === undefined || allowed(source.path, target) ? [] : [`${source.path}:${line} imports ${target}`],
    ),
  );
}

/** Index of the line of {@link ALTITUDES} that a file belongs to; -1 when none. package.json is above all. */
function altitude(path: string): number {
  if (path === 'package.json') return 0;
  return ALTITUDES.findIndex((rooms) => rooms.some((room) => path === room || path.startsWith(`${room}/`)));
}

/** Name of the driver whose folder a file is in; undefined for the list of drivers and all other files. */
function driverOf(path: string): string | undefined {
  return /^src\/drivers\/([^/]+)\//.exec(path)?.[1];
}

/** The public face of core/block is what lies in it directly, and the edge, through which a driver does I/O. */
function driverMayImport(from: string, to: string): boolean {
  const driver = driverOf(from);
  if (driver === undefined) return true;
  if (to.startsWith('src/core/block/')) {
    return posix.dirname(to) === 'src/core/block' || to === 'src/core/block/graph/edge.ts';
  }
  return to.startsWith(`src/drivers/${driver}/`) || (to.startsWith('src/core/') && altitude(to) < altitude(from));
}

/** The folder that has a charter: a room of core, a sub-room of core/block, a driver, a program. */
function roomOf(path: string): string {
  const folder = posix.dirname(path);
  return folder
    .split('/')
    .slice(0, folder.startsWith('src/core/block/') ? 4 : 3)
    .join('/');
}

/** A room's public face, a program's entry or the driver interface opens with a few lines on what it is for. */
function hasCharter(room: string): boolean {
  const faces = ['index.ts', 'main.ts', 'driver.ts'].map((name) => `${room}/${name}`);
  const lengths = sources.filter((source) => faces.includes(source.path)).map((source) => textLines(source.opening));
  return lengths.some((length) => length >= MIN_CHARTER && length <= MAX_CHARTER);
}

function textLines(text: string): number {
  return text.split('\n').filter((line) => line.trim() !== '').length;
}
