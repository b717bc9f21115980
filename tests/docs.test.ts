/** What the documents name exists: npm scripts, files, links. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { tempDir } from './support/temp.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const documents = ['README.md', 'CHANGELOG.md', 'docs/development.md'];
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

describe.each(documents)('%s', (name) => {
  const text = readFileSync(join(root, name), 'utf8');

  test('names npm scripts that exist', () => {
    const named = [...text.matchAll(/\bnpm (?:run ([\w:]+)|(start|test))\b/g)].map(
      (match) => match[1] ?? match[2] ?? '',
    );
    expect(named.filter((script) => !(script in scripts))).toEqual([]);
  });

  test('links to files that exist', () => {
    const links = [...text.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] ?? '');
    const local = links.filter((link) => !/^https?:/.test(link));
    expect(local.filter((link) => !existsSync(join(root, dirname(name), link)))).toEqual([]);
  });

  test('names files that exist', () => {
    const paths = [...text.matchAll(/`((?:scripts|bin|tests|src|docs)\/[\w./-]+)`/g)].map((match) => match[1] ?? '');
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

/** Each ```js block of the README is a program that must run to its end in an empty folder. */
const examples = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```js\n([\s\S]*?)^```/gm)];

test.each(examples.map((match, index) => ({ number: index + 1, text: match[1] ?? '' })))(
  'example $number of the README runs',
  async ({ text }) => {
    // Within dist, so that the package is found by its own name.
    const folder = mkdtempSync(join(root, 'dist', 'example-'));
    try {
      writeFileSync(join(folder, 'example.mjs'), text);
      const { exitCode, stderr } = await execa(process.execPath, [join(folder, 'example.mjs')], {
        cwd: tempDir(),
        reject: false,
      });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
