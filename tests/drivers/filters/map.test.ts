/** Whoever lies on top of an image: what is allocated in it, and what only shines through, is told as without it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { imgOutput } from '../../support/cli.ts';
import { ioHere } from '../../support/io-here.ts';
import { tempDir } from '../../support/temp.ts';

const FILTERS: Readonly<Record<string, { readonly options: string; readonly child: string }>> = {
  throttle: { options: 'driver=throttle,iops-total=1000000', child: 'file' },
  'copy-on-read': { options: 'driver=copy-on-read', child: 'file' },
  compress: { options: 'driver=compress', child: 'file' },
  blkreplay: { options: 'driver=blkreplay,seed=3', child: 'image' },
  'blkdebug with nothing to do': { options: 'driver=blkdebug', child: 'image' },
  'blkdebug that is asked': {
    options: 'driver=blkdebug,inject-error.0.event=reftable_grow,inject-error.0.iotype=block-status',
    child: 'image',
  },
  'blkdebug upon blkreplay': {
    options: 'driver=blkdebug,label.0.name=a,label.0.iotype=block-status,label.0.skip=99,image.driver=blkreplay',
    child: 'image.image',
  },
};

const COMMANDS = ['map', 'alloc 0 1M', 'alloc 64k 64k', 'alloc 512k'];

describe('map and alloc', () => {
  test.each(Object.entries(FILTERS))('through %s', async (_, { options, child }) => {
    const folder = tempDir();
    const [base, top] = ['base.raw', 'top.qcow2'].map((name) => join(folder, name)) as [string, string];
    writeFileSync(base, Buffer.alloc(1 << 20, 7));
    await imgOutput(['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top]);
    expect((await ioHere(['write -q 64k 64k', 'write -q -z 256k 64k'], [top])).code).toBe(0);
    const bare = await ioHere(COMMANDS, [top]);
    expect(bare.stdout).toMatch(/not allocated.* {4}allocated.*not allocated/s);
    const through = await ioHere(COMMANDS, [
      '--image-opts',
      `${options},${child}.driver=qcow2,${child}.file.filename=${top}`,
    ]);
    expect(through).toEqual(bare);
  });
});
