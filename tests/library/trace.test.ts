/** Traces of a program that uses the built library, and ends as it likes. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { readTrace } from '../core/trace/sample-trace.ts';
import { tempDir } from '../support/temp.ts';

const library = pathToFileURL(join(import.meta.dirname, '..', '..', 'dist', 'index.js')).href;

/** More than with which a thread is started, or less. */
test.each([
  ['never closes', 100, ''],
  ['never closes', 60_000, ''],
  ['exits', 100, 'process.exit(3)'],
  ['exits', 60_000, 'process.exit(3)'],
  ['exits while it closes', 60_000, 'void disk.close(); process.exit(3)'],
  ['throws', 100, "throw new Error('enough')"],
])('a program that %s after %d requests has them in its trace', async (_, count, end) => {
  const file = join(tempDir(), 'trace.jsonl');
  const program = `
    import { openImage } from ${JSON.stringify(library)};
    const disk = await openImage({ driver: 'null-co', size: 1048576, trace: ${JSON.stringify(file)} });
    const buf = Buffer.alloc(512);
    for (let index = 0; index < ${count}; index++) disk.read((index % 7) * 512, buf.subarray(0, index % 2 * 512));
    ${end}`;
  spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 60_000 });
  const { requests, source } = await readTrace(file);
  expect(requests.map(({ number }) => number)).toEqual(Array.from({ length: count }, (_, index) => index));
  expect(source.incomplete).toBe('it ends without its last line');
});
