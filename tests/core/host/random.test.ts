import { expect, test } from 'vitest';
import { randomBytes } from '../../../src/core/host/index.ts';

test('random bytes differ from one another, and are as many as asked for', () => {
  const drawn = Array.from({ length: 100 }, () => Buffer.from(randomBytes(8)).toString('hex'));
  expect(new Set(drawn).size).toBe(100);
  expect(drawn.every((text) => text.length === 16)).toBe(true);
});
