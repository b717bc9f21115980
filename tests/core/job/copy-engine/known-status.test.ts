import { expect, test } from 'vitest';
import { KnownStatus } from '../../../../src/core/job/copy-engine/known-status.ts';

test('KnownStatus tells what it was told, in any order, and nothing beyond', () => {
  const known = new KnownStatus();
  expect(known.at(0)).toBeUndefined();
  known.note(-512, { end: 1024, kind: 'skip', mapped: false });
  for (let end = 2048; end <= 4096 * 1024; end += 1024) {
    known.note(end - 1024, { end, kind: end % 2048 === 0 ? 'data' : 'zero', mapped: end % 2048 === 0 });
  }
  expect(known.at(-512)).toEqual({ end: 1024, kind: 'skip', mapped: false });
  expect(known.at(3000)).toEqual({ end: 3072, kind: 'zero', mapped: false });
  expect(known.at(4096 * 1024 - 1)).toEqual({ end: 4096 * 1024, kind: 'data', mapped: true });
  expect(known.at(1024)).toEqual({ end: 2048, kind: 'data', mapped: true });
  expect(known.at(4096 * 1024)).toBeUndefined();
  expect(known.at(-513)).toBeUndefined();
});

test('KnownStatus keeps no more than its limit, and nothing that does not follow on', () => {
  const known = new KnownStatus(2);
  known.note(0, { end: 10, kind: 'data', mapped: true });
  known.note(20, { end: 30, kind: 'data', mapped: true });
  expect(known.at(20)).toBeUndefined();
  known.note(10, { end: 20, kind: 'zero', mapped: false });
  known.note(20, { end: 30, kind: 'data', mapped: true });
  expect(known.at(10)).toEqual({ end: 20, kind: 'zero', mapped: false });
  expect(known.at(20)).toBeUndefined();
});
