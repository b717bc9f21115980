import { expect, expectTypeOf, it, describe as suite } from 'vitest';
import { BlockError } from '../../../src/core/errors/block-error.ts';
import {
  anything,
  bool,
  bytes,
  choice,
  defineOptions,
  describe,
  either,
  formatOptionHelp,
  group,
  integer,
  isExplicit,
  joinOptions,
  list,
  type NodeRef,
  nodeRef,
  type OptionsOf,
  secretId,
  text,
  validate,
  variant,
} from '../../../src/core/options/index.ts';

const schema = defineOptions({
  size: bytes({ help: 'Virtual size' }),
  cluster_size: bytes({ help: 'Size of a cluster', default: '64k', min: 512, max: 2 ** 21, powerOfTwo: true }),
  preallocation: choice(['off', 'full'], { help: 'Space to reserve', default: 'off' }),
  file: nodeRef({ help: 'Where the data lies', required: true }),
  lazy: bool({ help: 'Later' }),
  bits: integer({ help: 'Width', min: 1, max: 64 }),
  note: text({ help: 'A note', maxBytes: 5, nonEmpty: true }),
  key: secretId({ help: 'Secret' }),
  encrypt: group(
    { format: choice(['luks'], { help: 'Which', required: true }), iter: integer({ help: 'Time' }) },
    { help: 'Encryption' },
  ),
  cache: group({ direct: bool({ help: 'No page cache', default: false }) }, { help: 'Cache', default: {} }),
  children: list(text({ help: '', required: true }), { help: 'Members' }),
  server: variant(
    'type',
    {
      inet: { host: text({ help: 'Host', required: true }), port: integer({ help: 'Port', default: 10809 }) },
      unix: { path: text({ help: 'Path', required: true }) },
    },
    { help: 'Where the server is' },
  ),
  check: either(
    choice(['all', 'none'], { help: 'How much', required: true }),
    group({ template: choice(['all', 'none'], { help: 'Start from', default: 'none' }) }, { help: '', required: true }),
    { help: 'Checks' },
  ),
  extra: anything({ help: 'Whatever', hidden: true }),
});
type Sample = OptionsOf<typeof schema>;
const read = (input: unknown): Sample => validate(schema, input, "driver 'sample'");

suite('validate', () => {
  it('infers the types of the values', () => {
    expectTypeOf<Sample['cluster_size']>().toEqualTypeOf<number>();
    expectTypeOf<Sample['size']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Sample['preallocation']>().toEqualTypeOf<'off' | 'full'>();
    expectTypeOf<Sample['file']>().toEqualTypeOf<NodeRef>();
    expectTypeOf<Sample['cache']>().toEqualTypeOf<{ direct: boolean }>();
    expectTypeOf<Sample['children']>().toEqualTypeOf<string[] | undefined>();
  });
  it('applies defaults and remembers what was given', () => {
    const options = read({ file: 'node0', size: '1.5G', encrypt: { format: 'luks' } });
    expect(options).toEqual({
      file: 'node0',
      size: 1610612736,
      cluster_size: 65536,
      preallocation: 'off',
      encrypt: { format: 'luks' },
      cache: { direct: false },
    });
    expect(isExplicit(options, 'size')).toBe(true);
    expect(isExplicit(options, 'encrypt.format')).toBe(true);
    expect(isExplicit(options, 'cluster_size')).toBe(false);
  });
  it('takes strings for JSON types and the reverse', () => {
    expect(read({ file: { driver: 'file' }, lazy: 'on', bits: '0x10', note: 5, size: 5, extra: [1] })).toMatchObject({
      file: { driver: 'file' },
      lazy: true,
      bits: 16,
      note: '5',
      size: 5,
      extra: [1],
    });
    for (const word of ['yes', 'true', 'y', 'on', true])
      expect(read({ file: '', lazy: word })).toMatchObject({ lazy: true });
    for (const word of ['no', 'false', 'n', 'off', false])
      expect(read({ file: null, lazy: word })).toMatchObject({ lazy: false, file: null });
  });
  it('takes variants, lists and either form', () => {
    expect(read({ file: 'x', server: { type: 'inet', host: 'h' }, children: ['a', 'b'], check: 'all' })).toMatchObject({
      server: { type: 'inet', host: 'h', port: 10809 },
      children: ['a', 'b'],
      check: 'all',
    });
    expect(read({ file: 'x', server: { type: 'unix', path: 'p' }, check: {} })).toMatchObject({
      server: { type: 'unix', path: 'p' },
      check: { template: 'none' },
    });
  });

  const size = 'a size in bytes such as 65536, 64k or 1.5G';
  it.each<[Record<string, unknown>, string, string?]>([
    [{ file: undefined }, "driver 'sample' needs the option 'file'"],
    [{ cluster_size: 'abc' }, `option 'cluster_size' of driver 'sample' expects ${size}, not 'abc'`],
    [
      { cluster_size: 1000 },
      "option 'cluster_size' of driver 'sample' must be a power of two between 512 and 2M, not 1000",
    ],
    [{ size: '9E' }, "option 'size' of driver 'sample' must be 0 to 9007199254740991 bytes, not '9E'"],
    [{ size: -1 }, `option 'size' of driver 'sample' expects ${size}, not -1`],
    [{ size: '-1' }, "must be 0 to 9007199254740991 bytes, not '-1'"],
    [{ clustersize: 1 }, "driver 'sample' has no option 'clustersize'", "Did you mean 'cluster_size'?"],
    [{ __proto__x: 1 }, "driver 'sample' has no option '__proto__x'"],
    [{ preallocation: 'fall' }, "option 'preallocation' of driver 'sample' expects 'off' or 'full', not 'fall'"],
    [{ file: 3 }, 'expects a node name, a group of options or null, not 3'],
    [{ lazy: 'maybe' }, "expects 'on' or 'off', not 'maybe'"],
    [{ lazy: 'constructor' }, "expects 'on' or 'off', not 'constructor'"],
    [{ bits: 65 }, 'must be between 1 and 64, not 65'],
    [{ bits: 1.5 }, 'expects a whole number, not 1.5'],
    [{ bits: '99999999999999999999' }, "must be between 1 and 64, not '99999999999999999999'"],
    [{ note: 'äöü' }, 'is longer than 5 bytes (6)'],
    [{ note: '' }, 'must not be empty'],
    [{ note: {} }, 'expects a text, not a group of options'],
    [{ key: '1 x' }, "expects the id of a secret object, not '1 x'"],
    [{ encrypt: 5 }, "option 'encrypt' of driver 'sample' expects a group of options, not 5"],
    [{ encrypt: [] }, 'expects a group of options, not a list'],
    [{ encrypt: {} }, "needs the option 'encrypt.format'"],
    [{ encrypt: { format: 'luks', itr: 1 } }, "has no option 'encrypt.itr'", "Did you mean 'iter'?"],
    [{ children: 'a' }, "option 'children' of driver 'sample' expects a list, not 'a'"],
    [{ children: ['a', null] }, "option 'children.1' of driver 'sample' expects a text, not null"],
    [{ server: {} }, "needs the option 'server.type'"],
    [
      { server: { type: 'tcp', host: 'h' } },
      "option 'server.type' of driver 'sample' expects 'inet' or 'unix', not 'tcp'",
    ],
    [{ server: { type: 'inet' } }, "needs the option 'server.host'"],
    [{ server: { type: 'inet', host: 'h', hst: 1 } }, "has no option 'server.hst'", "Did you mean 'host'?"],
    [{ check: 'al' }, "expects 'all' or 'none', not 'al'"],
    [{ check: { template: 'x' } }, "option 'check.template' of driver 'sample' expects 'all' or 'none', not 'x'"],
    [{ note: `a\n${'x'.repeat(500)}` }, 'is longer than 5 bytes'],
    [{ bits: `a\n${'x'.repeat(500)}` }, `not 'a\\n${'x'.repeat(78)}…'`],
  ])('refuses %.60j', (input, message, followUp) => {
    let caught: unknown;
    try {
      read({ file: 'x', ...input });
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(BlockError);
    expect((caught as BlockError).message).toContain(message);
    expect((caught as BlockError).message).not.toMatch(/\n/);
    if (followUp !== undefined) expect((caught as BlockError).followUp).toBe(followUp);
  });
  it('refuses what is no record', () => {
    for (const input of [[], null, 'x', 5])
      expect(() => read(input)).toThrow("options of driver 'sample': expects a group");
  });
});

suite('describe', () => {
  it('lists all options by the names that are typed', () => {
    expect(describe(schema).map((option) => `${option.name}=${option.word}`)).toEqual([
      'bits=num',
      'cache.direct=bool (on/off)',
      'check=str',
      'check.template=str',
      'children.N=str',
      'cluster_size=size',
      'encrypt.format=str',
      'encrypt.iter=num',
      'file=str',
      'key=str',
      'lazy=bool (on/off)',
      'note=str',
      'preallocation=str',
      'server.host=str',
      'server.path=str',
      'server.port=num',
      'server.type=str',
      'size=size',
    ]);
  });
  it('prints them in columns', () => {
    const few = defineOptions({
      size: bytes({ help: 'Virtual size of the disk' }),
      cluster_size: bytes({ help: 'Size of a cluster', default: '64k' }),
      encrypt: group({ 'cipher-alg': choice(['aes-256', 'twofish'], { help: 'Cipher' }) }, { help: '' }),
    });
    expect(formatOptionHelp(describe(few), 'Supported qcow2 options:')).toBe(
      [
        'Supported qcow2 options:',
        '  cluster_size=<size>    - Size of a cluster (default 64k)',
        '  encrypt.cipher-alg=<str> - Cipher (aes-256, twofish)',
        '  size=<size>            - Virtual size of the disk',
        '',
      ].join('\n'),
    );
    const below = defineOptions({ nocow: bool({ help: 'No copy-on-write' }), size: bytes({ help: 'Shadowed' }) });
    expect(formatOptionHelp(describe(joinOptions(few, below)))).toMatch(
      /^Supported options:\n {2}cluster_size.*\n {2}encrypt.*\n {2}nocow=<bool \(on\/off\)> {2}- No copy-on-write\n {2}size=<size> {12}- Virtual/,
    );
  });
});
