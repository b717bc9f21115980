import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { withSocketLabel } from '../../../src/core/host/index.ts';
import { tempDir } from '../../support/temp.ts';

const LABEL = 'system_u:system_r:svirt_t:s0:c1,c2';
const hasSelinux = readFileSync('/proc/filesystems', 'utf8').includes('selinuxfs');

/** Stands for what the kernel has of this thread. */
function wantedFile(): string {
  const path = join(tempDir(), 'sockcreate');
  writeFileSync(path, '');
  return path;
}

describe('withSocketLabel', () => {
  test('says the label before, and nothing any more after', () => {
    const wanted = wantedFile();
    const seen = withSocketLabel(LABEL, () => readFileSync(wanted, 'latin1'), wanted);
    expect(seen).toBe(`${LABEL}\0`);
    expect(readFileSync(wanted, 'latin1')).toBe('\n');
  });

  test('says nothing any more where no socket could be made', () => {
    const wanted = wantedFile();
    const make = () => {
      throw new Error('no socket');
    };
    expect(() => withSocketLabel(LABEL, make, wanted)).toThrow('no socket');
    expect(readFileSync(wanted, 'latin1')).toBe('\n');
  });

  test('without a label leaves the kernel alone', () => {
    const wanted = join(tempDir(), 'none');
    expect(withSocketLabel(undefined, () => 7, wanted)).toBe(7);
    expect(existsSync(wanted)).toBe(false);
  });

  test.each(['', ' ', 'a\0b', 'a\nb'])('%j is no label', (label) => {
    const wanted = wantedFile();
    expect(() => withSocketLabel(label, () => 7, wanted)).toThrow('is no SELinux label');
    expect(readFileSync(wanted, 'latin1')).toBe('');
  });

  test.skipIf(hasSelinux)('makes no socket where there is no SELinux', () => {
    let made = 0;
    expect(() => withSocketLabel(LABEL, () => made++)).toThrow(
      `Could not label a socket '${LABEL}': this system has no SELinux`,
    );
    expect(made).toBe(0);
  });
});
