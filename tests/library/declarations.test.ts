/** The declarations of the library, as the compiler of a program that uses it reads them, at its strictest. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempDir } from '../support/temp.ts';

const root = join(import.meta.dirname, '..', '..');
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

function compile(args: readonly string[]): string {
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...args], { cwd: root, encoding: 'utf8' });
  return status === 0 ? '' : stdout;
}

test('the declarations of the library stand up to every check', { timeout: 120_000 }, () => {
  const dir = tempDir();
  expect(compile(['-p', 'tsconfig.build.json', '--outDir', join(dir, 'types')])).toBe('');
  fs.symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  fs.writeFileSync(join(dir, 'package.json'), '{ "type": "module" }\n');
  fs.writeFileSync(
    join(dir, 'program.ts'),
    [
      "import { type ChainExtent, convert, openImage } from './types/index.js';",
      "await convert('a.raw', 'b.qcow2', { format: 'qcow2', onProgress: ({ done, total }) => void (done / total) });",
      "await using disk = await openImage('b.qcow2', { writable: true });",
      'export const extent: ChainExtent = await disk.chainStatus(0, disk.size);',
    ].join('\n'),
  );
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    noEmit: true,
  };
  fs.writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  expect(compile(['-p', dir])).toBe('');
});
