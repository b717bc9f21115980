import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { expect, test } from 'vitest';
import { KOFFI_VERSION, loadKoffi } from '../../../src/core/host/koffi.ts';

test('the version that is taken without the package is that of the package', () => {
  const { dependencies } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  expect(KOFFI_VERSION).toBe(dependencies.koffi);
  expect(koffi.version).toBe(KOFFI_VERSION);
});

test('what is loaded calls the C library', () => {
  const engine = loadKoffi();
  expect(engine.version).toBe(KOFFI_VERSION);
  const getpid = engine.load(null).func('getpid', 'int', []);
  expect(getpid()).toBe(process.pid);
});
