/** Help of every command of every program, and the man pages: what is shown to a reader. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { commandsOf, type Program, run } from '../src/commands/cli/main.ts';
import type { AnyCommand } from '../src/commands/cli/record.ts';
import { img } from '../src/commands/img/main.ts';
import { ioProgram } from '../src/commands/io/main.ts';
import { nbdProgram } from '../src/commands/nbd/main.ts';
import { fakeIo } from './commands/cli/fake-io.ts';
import { findPeer, peersFor } from './support/peers.ts';

const WIDTH = 80;
const programs: readonly Program[] = [img, ioProgram, nbdProgram];

const known = new Map<Program, Promise<readonly (readonly [string, string])[]>>();

/** Of everything that there is help on, the text of `img help NAME`; laying one out takes long, so it is done once. */
function helpTexts(program: Program): Promise<readonly (readonly [string, string])[]> {
  const forms = (program.alone?.forms ?? []).flatMap((form) => form.name || []);
  const names = ['', ...Object.keys(commandsOf(program)), ...forms];
  const texts =
    known.get(program) ??
    Promise.all(names.map(async (name) => [name, await said(program, ['help', name].filter(Boolean))] as const));
  known.set(program, texts);
  return texts;
}

async function said(program: Program, argv: readonly string[]): Promise<string> {
  const io = fakeIo({ programName: program.name });
  expect(await run(program, argv, io), argv.join(' ')).toBe(0);
  return io.out();
}

describe.each(programs)('help of $name', (program) => {
  test('fits the width of a terminal and is wrapped between words', async () => {
    const texts = await helpTexts(program);
    const lines = texts.flatMap(([name, text]) => text.split('\n').map((line) => `${name}: ${line}`));
    expect(lines.filter((line) => line.replace(/^\S*: /, '').length > WIDTH)).toEqual([]);
    expect(lines.filter((line) => /\s$/.test(line.replace(/^\S*: /, '')))).toEqual([]);
    const records = await Promise.all(Object.values(commandsOf(program)).map((load) => load()));
    for (const record of [...records, ...(program.alone?.forms ?? [])]) {
      const text = texts.find(([name]) => name === record.name)?.[1] ?? '';
      for (const words of wordsOf(record)) expect(flat(text)).toContain(flat(words));
    }
  });

  test('has the help of options in one column', async () => {
    for (const [name, text] of await helpTexts(program)) {
      const section = /\nOptions:\n((?: .*\n)*)/.exec(text)?.[1] ?? '';
      const columns = [...section.matchAll(/^ {2}(?:-\S| {2}).*?(?: {2,}|\n +)(?=[A-Z])/gm)].map(
        ([start]) => start.length - (start.lastIndexOf('\n') + 1),
      );
      expect([name, [...new Set(columns)].length]).toEqual([name, 1]);
    }
  });

  test('is the same for --help', async () => {
    const texts = new Map(await helpTexts(program));
    for (const name of Object.keys(commandsOf(program))) {
      expect(await said(program, [name, '--help'])).toBe(texts.get(name));
    }
    expect(await said(program, ['--help'])).toBe(texts.get(''));
  });

  test('lists every command under a heading', async () => {
    const text = new Map(await helpTexts(program)).get('') ?? '';
    const listed = [...text.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name]) => name);
    expect(listed.sort()).toEqual(Object.keys(commandsOf(program)).sort());
  });
});

test('every command of img belongs to a group', async () => {
  const records = await Promise.all(Object.values(commandsOf(img)).map((load) => load()));
  expect(records.filter((record) => record.group === undefined).map((record) => record.name)).toEqual([]);
});

test('help tells of a command of the shell of io too, and not of what is none', async () => {
  expect(await said(ioProgram, ['help', 'read'])).toMatch(/^read .* -- reads a range of bytes\n/);
  const io = fakeIo({ programName: 'io' });
  expect(await run(ioProgram, ['help', 'nope'], io)).toBe(1);
  expect(io.err()).toBe("io: unknown command 'nope'\nTry 'io --help' for more information\n");
});

/** What must be in the text without a word of it broken. */
function wordsOf(record: AnyCommand): string[] {
  const options = Object.values(record.options).filter((spec) => !spec.hidden);
  return [record.summary, ...(record.description ?? []), ...options.map((spec) => spec.help)].flatMap((text) =>
    text.split(' '),
  );
}

function flat(text: string): string {
  return text.replace(/\s+/g, ' ');
}

const man = join(import.meta.dirname, '..', 'man');
const pages = readdirSync(man).map((page) => join(man, page));
const exec = promisify(execFile);

test.skipIf(peersFor('groff').missing).each(pages)('groff finds no fault in %s', async (page) => {
  const args = ['-ww', '-man', '-k', '-Tutf8', '-rLL=80n', '-z', page];
  expect((await exec(findPeer('groff') ?? 'groff', args)).stderr).toBe('');
});

test.skipIf(peersFor('mandoc').missing).each(pages)('mandoc finds no fault in %s', async (page) => {
  const { stdout } = await exec(findPeer('mandoc') ?? 'mandoc', ['-Tlint', '-Wwarning', page]).catch((error) => error);
  expect(stdout).toBe('');
});
