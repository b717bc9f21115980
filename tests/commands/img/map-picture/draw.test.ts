import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgHere, imgHereOutput } from '../../../support/img-here.ts';
import { ioHere } from '../../../support/io-here.ts';
import { tempDir } from '../../../support/temp.ts';

/** An image with data, zeroes and compressed data on a backing file, of a name that is markup. */
async function chain(folder: string): Promise<string> {
  const base = join(folder, 'base.qcow2');
  const top = join(folder, '<b>&"top".qcow2');
  await imgHereOutput(['create', '-q', '-f', 'qcow2', base, '10G']);
  await ioHere(['write 1G 3M'], [base]);
  await imgHereOutput(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top]);
  await ioHere(['write 0 64k', 'write -z 2G 1M', 'write -c 3G 64k'], [top]);
  return top;
}

describe('img map --html and --svg', () => {
  test('make one file each that needs nothing else, and print nothing', async () => {
    const folder = tempDir();
    const top = await chain(folder);
    const [html, svg] = [join(folder, 'a.html'), join(folder, 'a.svg')];
    expect(await imgHere(['map', '--html', html, '--svg', svg, top])).toEqual({ code: 0, stdout: '', stderr: '' });
    const page = readFileSync(html, 'utf8');
    const picture = readFileSync(svg, 'utf8');
    for (const text of [page, picture]) {
      expect(text).not.toMatch(/(?:src|href)=|url\((?!#)|@import|https?:(?!\/\/www\.w3\.org\/2000\/svg)/);
      expect(text).not.toContain('<b>');
      expect(text).toContain('&lt;b&gt;&amp;&quot;top&quot;.qcow2');
      for (const words of ['data, layer 0: 64 KiB', 'zeroes, layer 0: 1 MiB', 'compressed, layer 0: 64 KiB']) {
        expect(text).toContain(words);
      }
      expect(text).toContain('data, layer 1: 3 MiB');
    }
    const [, json = ''] = /<script type="application\/json" id="cells">(.*?)<\/script>/.exec(page) ?? [];
    const cells: Record<string, [number, number][]> = JSON.parse(json).cells;
    expect(cells['0']).toEqual([[0, 65536]]);
    expect(cells['512']).toEqual([[3, 2 * 2 ** 20]]);
    expect(cells['513']).toEqual([[3, 2 ** 20]]);
  });

  test('refuse to go with a printed form, and name a file that cannot be written', async () => {
    const folder = tempDir();
    const top = await chain(folder);
    expect((await imgHere(['map', '--output=json', '--svg', join(folder, 'a'), top])).code).toBe(1);
    const failed = await imgHere(['map', '--svg', join(folder, 'none', 'a.svg'), top]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/^img: cannot write '[^\n]*a\.svg': No such file or directory\n$/);
  });

  test('draw an empty disk', async () => {
    const svg = join(tempDir(), 'a.svg');
    const disk = join(tempDir(), 'empty.raw');
    await imgHereOutput(['create', '-q', disk, '0']);
    await imgHereOutput(['map', '-f', 'raw', '--svg', svg, disk]);
    expect(readFileSync(svg, 'utf8')).toContain('in no layer: 0 B');
  });
});
