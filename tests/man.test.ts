/** The pages in man/ are those that follow from the records. `BLOCKYARD_UPDATE=1` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Program } from '../src/commands/cli/main.ts';
import { renderMan } from '../src/commands/cli/man.ts';
import { img } from '../src/commands/img/main.ts';

const programs: readonly Program[] = [img];

it.each(programs.map((program) => [program.name, program] as const))(
  'man/%s.1 is up to date',
  async (name, program) => {
    const path = join(import.meta.dirname, '..', 'man', `${name}.1`);
    const page = await renderMan(program);
    if (process.env.BLOCKYARD_UPDATE === '1') writeFileSync(path, page);
    expect(readFileSync(path, 'utf8'), 'run with BLOCKYARD_UPDATE=1 to write it anew').toBe(page);
  },
);
