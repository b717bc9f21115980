/** The scripts in completions/ are those that follow from the records. `BLOCKYARD_UPDATE=1` writes them anew. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { completionScript, SHELLS } from '../src/commands/cli/completion/command.ts';
import { img } from '../src/commands/img/main.ts';
import { ioProgram } from '../src/commands/io/main.ts';
import { nbdProgram } from '../src/commands/nbd/main.ts';

const folder = join(import.meta.dirname, '..', 'completions');
const files = Object.entries(SHELLS).flatMap(([shell, { fileName }]) =>
  [img, ioProgram, nbdProgram].map((program) => ({ shell, program, file: join(shell, fileName(program.name)) })),
);

it.each(files)('completions/$file is up to date', async ({ shell, program, file }) => {
  const path = join(folder, file);
  const script = await completionScript(program, shell);
  if (process.env.BLOCKYARD_UPDATE === '1') writeFileSync(path, script);
  expect(readFileSync(path, 'utf8') === script, 'run with BLOCKYARD_UPDATE=1 to write it anew').toBe(true);
});

it('there are no others', () => {
  const found = Object.keys(SHELLS).flatMap((shell) =>
    readdirSync(join(folder, shell)).map((file) => join(shell, file)),
  );
  expect(found.sort()).toEqual(files.map(({ file }) => file).sort());
});
