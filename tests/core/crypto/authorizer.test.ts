import { describe, expect, test } from 'vitest';
import { matchesGlob, ruleAuthorizer } from '../../../src/core/crypto/authorizer.ts';
import { readPriority } from '../../../src/core/crypto/tls-priority.ts';

describe('rules', () => {
  test('the first that fits decides, and nobody without a name comes in', () => {
    const authorizer = ruleAuthorizer(
      [
        { match: 'fred', policy: 'allow', format: 'exact' },
        { match: 'f*', policy: 'deny', format: 'glob' },
        { match: '*b', policy: 'allow', format: 'glob' },
      ],
      'deny',
    );
    expect(['fred', 'frob', 'bob', 'alice', 'fre'].map((name) => authorizer.allows(name))).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(ruleAuthorizer([], 'allow').allows('anybody')).toBe(true);
    expect(ruleAuthorizer([], 'allow').allows(undefined)).toBe(false);
  });
});

test('globs', () => {
  for (const [pattern, text, fits] of [
    ['', '', true],
    ['*', '', true],
    ['?', '', false],
    ['a?c', 'abc', true],
    ['a*c', 'ac', true],
    ['a*c', 'abcbc', true],
    ['a*c', 'abcb', false],
    ['*,O=Example,*', 'CN=x,O=Example,C=GB', true],
    ['a.c', 'abc', false],
    ['[ab]', 'a', false],
    ['**x**', 'x', true],
  ] as const) {
    expect([pattern, text, matchesGlob(pattern, text)]).toEqual([pattern, text, fits]);
  }
  expect(matchesGlob('*a'.repeat(500), `${'a'.repeat(20_000)}b`)).toBe(false);
});

describe('priorities', () => {
  test('versions and strength', () => {
    expect(readPriority(undefined, 'x')).toEqual({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      securityLevel: undefined,
    });
    expect(readPriority('NORMAL:-VERS-TLS1.3:+ECDHE-PSK', 'x')).toMatchObject({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.2',
    });
    expect(readPriority('SECURE256:-VERS-ALL:+VERS-TLS1.3', 'x')).toEqual({
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      securityLevel: 5,
    });
  });

  test.each(['NONE', 'NORMAL:+VERS-TLS1.0', 'NORMAL:-CIPHER-ALL', 'NORMAL:-VERS-ALL', 'toString'])(
    '%s is not passed over',
    (priority) => {
      expect(() => readPriority(priority, 'x')).toThrow();
    },
  );
});
