import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { errnoName, hostError, systemCode } from '../../../src/core/host/errno.ts';
import { checkAio } from '../../../src/core/host/index.ts';

describe('hostError', () => {
  test('takes an errno, a name or a system error', () => {
    const enoent = Object.assign(new Error('x'), { code: 'ENOENT' });
    for (const error of [-constants.errno.ENOENT, 'ENOENT', enoent]) {
      const made = hostError('open', 'a b', error);
      expect(made.message).toBe("Could not open 'a b': No such file or directory");
      expect(made.code).toBe('ENOENT');
    }
    expect(hostError('open', 'x', enoent).cause).toBe(enoent);
  });

  test('gives codes outside the union a counterpart in it', () => {
    expect(hostError('lock', 'x', -constants.errno.ENOLCK)).toMatchObject({ code: 'ENOTSUP' });
    expect(hostError('open', 'x', 'ETXTBSY').message).toBe("Could not open 'x': Text file busy");
    expect(hostError('open', 'x', 'ETXTBSY').code).toBe('EBUSY');
    expect(hostError('open', 'x', 'EWEIRD')).toMatchObject({ code: 'EIO', message: "Could not open 'x': EWEIRD" });
    expect(hostError('open', 'x', new TypeError('odd')).message).toBe("Could not open 'x': TypeError: odd");
  });

  test('names numbers that have two names as node does', () => {
    expect(errnoName(constants.errno.EAGAIN)).toBe('EAGAIN');
    expect(errnoName(constants.errno.EOPNOTSUPP)).toBe('ENOTSUP');
    expect(errnoName(9999)).toBe('errno 9999');
    expect(systemCode({})).toBeUndefined();
  });
});

describe('checkAio', () => {
  test('runs threads and refuses what this build has not', () => {
    expect(checkAio('threads', false)).toBe('threads');
    expect(checkAio('threads', true)).toBe('threads');
    expect(() => checkAio('native', false)).toThrow('aio=native needs cache.direct=on, which is off for this file');
    expect(() => checkAio('native', true)).toThrow(
      'aio=native is not available: this build runs requests on threads only',
    );
    expect(() => checkAio('io_uring', false)).toThrow('aio=io_uring is not available');
  });
});
