/** The rules of blkdebug as a machine, and the files they are read from. */
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/drivers/blkdebug/config-file.ts';
import { type InjectOptions, injectRule, Rules } from '../../../src/drivers/blkdebug/rules.ts';

function rule(fields: Partial<InjectOptions> & Pick<InjectOptions, 'event'>) {
  return injectRule({
    state: 0,
    errno: '5',
    sector: -1,
    'delay-ns': 0,
    once: false,
    immediately: false,
    ...fields,
  });
}

describe('Rules', () => {
  test('make requests fail from their event on, until another event brings other rules', () => {
    const rules = new Rules([rule({ event: 'l2_load', errno: '28' }), rule({ event: 'write_aio', errno: '5' })], []);
    expect(rules.meet('read', 0, 512)).toBeUndefined();
    rules.announce('l2_load');
    rules.announce('read_aio');
    expect(rules.meet('read', 0, 512)?.code).toBe('ENOSPC');
    rules.announce('write_aio');
    expect(rules.meet('read', 0, 512)?.code).toBe('EIO');
  });

  test('fit a state; the state changes by rules, the first written one of several', () => {
    const rules = new Rules(
      [rule({ event: 'write_aio', state: 2 })],
      [
        { event: 'write_aio', state: 1, newState: 2 },
        { event: 'write_aio', state: 0, newState: 7 },
      ],
    );
    rules.announce('write_aio');
    expect([rules.state, rules.idle]).toEqual([2, true]);
    rules.announce('write_aio');
    expect([rules.state, rules.idle]).toEqual([7, false]);
  });

  test('for once are used up by the request that meets them', () => {
    const rules = new Rules([rule({ event: 'none', once: true }), rule({ event: 'none', errno: '28' })], []);
    rules.announce('none');
    expect(rules.meet('read', 0, 512)?.code).toBe('EIO');
    expect(rules.meet('read', 0, 512)?.code).toBe('ENOSPC');
    rules.announce('none');
    expect(rules.meet('read', 0, 512)?.code).toBe('ENOSPC');
  });

  test('for once that only delay are used up too, those that do nothing are not', () => {
    const delays = new Rules(
      [rule({ event: 'none', errno: '0', 'delay-ns': 5, once: true }), rule({ event: 'none' })],
      [],
    );
    delays.announce('none');
    expect(delays.meet('read', 0, 512)?.delayNs).toBe(5);
    expect(delays.meet('read', 0, 512)?.code).toBe('EIO');
    const shields = new Rules([rule({ event: 'none', errno: '0', once: true }), rule({ event: 'none' })], []);
    shields.announce('none');
    for (let n = 0; n < 2; n++) expect(shields.meet('read', 0, 512)?.code).toBeUndefined();
  });

  test('fit a sector and a kind; block-status only when named', () => {
    const rules = new Rules([rule({ event: 'none', sector: 3, iotype: 'write' })], []);
    rules.announce('none');
    const meets = (kind: 'read' | 'write', offset: number, length: number) =>
      rules.meet(kind, offset, length) !== undefined;
    expect([meets('write', 0, 1536), meets('write', 0, 1537), meets('write', 1537, 512)]).toEqual([false, true, false]);
    expect([meets('write', 1536, 1), meets('read', 1536, 1), meets('write', 1536, 0)]).toEqual([true, false, false]);
    expect(rule({ event: 'none' }).kinds.has('block-status')).toBe(false);
    expect(rule({ event: 'none', iotype: 'block-status' }).kinds.has('block-status')).toBe(true);
  });

  test('know errors by number and by name', () => {
    const known = ['5', '28', 'ENOSPC', 'enospc', '123', '95', '121', 'EXDEV', '0'];
    // Those without a code of their own are what they count as when the host gives them.
    expect(known.map((errno) => rule({ event: 'none', errno }).code)).toEqual([
      'EIO',
      'ENOSPC',
      'ENOSPC',
      'ENOSPC',
      'ENOMEDIUM',
      'ENOTSUP',
      'EIO',
      'ENOTSUP',
      undefined,
    ]);
  });
});

describe('configuration files', () => {
  test('have sections with settings, comments and ids', () => {
    const text = `
# two rules
[inject-error]
event = "read_aio"
errno="28"
[set-state "second"]
  event = write_aio
  new_state = ""
`;
    const kinds = parseConfig(text, 'x.conf').map(({ kind, values }) => [kind, values]);
    expect(kinds).toEqual([
      ['inject-error', { event: 'read_aio', errno: '28' }],
      ['set-state', { event: 'write_aio', new_state: '' }],
    ]);
  });

  test.each([
    ['event = "x"', "line 1 of 'x.conf' stands before the first [section]"],
    ['[inject]', "line 1 of 'x.conf' opens a section 'inject'; there are inject-error, set-state and label"],
    ['[label]\nname', 'line 2 of \'x.conf\' is neither a [section] nor name = "value"'],
    ['[label]\nname = "a" b', 'line 2 of \'x.conf\' is neither a [section] nor name = "value"'],
    ['[label]\nname = a\nname = b', "line 3 of 'x.conf' sets 'name' again"],
    [`[label]\n${'a'.repeat(1e5)}=a\n${'a'.repeat(1e5)}=a`, `line 3 of 'x.conf' sets '${'a'.repeat(80)}…' again`],
    [`[${'a'.repeat(1e5)}]`, `line 1 of 'x.conf' opens a section '${'a'.repeat(80)}…'; there are`],
    ['[label]\nname = "\0"', "line 2 of 'x.conf' has a NUL byte in it"],
    ['[label]\n__proto__ = a', 'line 2 of \'x.conf\' is neither a [section] nor name = "value"'],
  ])('refuse %j', (text, message) => {
    expect(() => parseConfig(text, 'x.conf')).toThrow(message);
  });
});
