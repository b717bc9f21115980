/** The pages in man/ are those that follow from the records. `BLOCKYARD_UPDATE=1` writes them anew. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { renderMan } from '../src/commands/cli/man.ts';
import { img } from '../src/commands/img/main.ts';
import { renderIoMan } from '../src/commands/io/man.ts';
import { renderNbdMan } from '../src/commands/nbd/man.ts';

it.each([
  ['img', () => renderMan(img)],
  ['io', renderIoMan],
  ['nbd', renderNbdMan],
] as const)('man/%s.1 is up to date', async (name, render) => {
  const path = join(import.meta.dirname, '..', 'man', `${name}.1`);
  const page = await render();
  if (process.env.BLOCKYARD_UPDATE === '1') writeFileSync(path, page);
  expect(readFileSync(path, 'utf8'), 'run with BLOCKYARD_UPDATE=1 to write it anew').toBe(page);
});
