/** `img amend`: which options, of which images. What each format does with them is tested with the format. */
import { describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../support/img-here.ts';
import { tempDir } from '../../support/temp.ts';

describe('img amend', () => {
  test('refuses formats that have nothing to amend', async () => {
    const file = `${tempDir()}/disk.raw`;
    await imgHereOutput(['create', '-q', file, '1M']);
    const refused = { code: 1, stderr: "img: Format driver 'raw' does not support option amendment\n" };
    expect(await imgHere(['amend', '-f', 'raw', '-o', 'size=2M', file])).toMatchObject(refused);
    expect(await imgHere(['amend', '-f', 'raw', '-o', 'help'])).toMatchObject(refused);
    expect(await imgHere(['amend', '-f', 'raw', '-o', 'help', file])).toMatchObject(refused);
  });

  test('wants something to do and something to do it to', async () => {
    expect((await imgHere(['amend', 'x'])).stderr).toContain('nothing to change is given');
    expect((await imgHere(['amend', '-o', 'size=1'])).stderr).toContain('argument FILE is missing');
  });
});
