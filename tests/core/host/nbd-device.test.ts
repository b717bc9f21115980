import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { NbdDevice } from '../../../src/core/host/index.ts';
import { tempDir } from '../../support/temp.ts';

describe.skipIf(process.platform !== 'linux')('a disk of the kernel', () => {
  test.each([
    ['/dev/null', 'no block device'],
    ['/nowhere/nbd0', 'not there'],
    ['', 'not there'],
  ])("is not '%s'", (path, what) => {
    expect(() => NbdDevice.find(path)).toThrow(`'${path}' is ${what}`);
  });

  test('is no file', () => {
    const path = `${tempDir()}/nbd0`;
    writeFileSync(path, '');
    expect(() => NbdDevice.find(path)).toThrow(expect.objectContaining({ code: 'ENODEV' }));
  });
});
