import { describe, expect, expectTypeOf, it } from 'vitest';
import { parseArguments } from '../../../src/commands/cli/parse-arguments.ts';
import { type AnyCommand, command } from '../../../src/commands/cli/record.ts';
import { integerValue, sizeValue } from '../../../src/commands/cli/values.ts';

const sample = command({
  name: 'sample',
  summary: 'Try things',
  arguments: {
    sources: { name: 'SRC', help: 'What to read', repeat: true },
    target: { name: 'DST', help: 'What to write' },
  },
  options: {
    format: { short: 'f', long: 'format', value: 'FMT', help: 'Format', conflicts: ['imageOpts'] },
    imageOpts: { long: 'image-opts', help: 'Names are options' },
    quiet: { short: 'q', long: 'quiet', help: 'Say less' },
    verbose: { short: 'v', repeat: true, help: 'Say more' },
    progress: {
      short: 'p',
      long: 'progress',
      value: 'human|json',
      bare: 'human',
      choices: ['human', 'json', 'yaml'],
      neverGranted: ['yaml'],
      help: 'P',
    },
    sparse: { short: 'S', long: 'sparse-size', value: 'SIZE', parse: sizeValue, default: '4k', help: 'Zeroes' },
    tasks: { short: 'm', long: 'parallel', value: 'N', parse: integerValue(1, 16), help: 'Requests at once' },
    objects: { long: 'object', value: 'OBJECT', repeat: true, help: 'Objects' },
    isZero: { long: 'target-is-zero', help: 'Known zero', needs: ['noCreate'] },
    targetOpts: { long: 'target-image-opts', help: 'Target is options' },
    noCreate: { short: 'n', help: 'Exists' },
  },
  async run({ arguments: { sources, target }, options }) {
    expectTypeOf(sources).toEqualTypeOf<readonly string[]>();
    expectTypeOf(target).toEqualTypeOf<string>();
    expectTypeOf(options.format).toEqualTypeOf<string | undefined>();
    expectTypeOf(options.quiet).toEqualTypeOf<boolean>();
    expectTypeOf(options.verbose).toEqualTypeOf<number>();
    expectTypeOf(options.progress).toEqualTypeOf<'human' | 'json' | 'yaml' | undefined>();
    expectTypeOf(options.sparse).toEqualTypeOf<number>();
    expectTypeOf(options.tasks).toEqualTypeOf<number | undefined>();
    expectTypeOf(options.objects).toEqualTypeOf<readonly string[]>();
    return 0;
  },
});

const resize = command({
  name: 'resize',
  summary: 'Resize',
  arguments: { file: { name: 'FILE', help: '' }, size: { name: 'SIZE', help: '', last: true, optional: true } },
  options: { shrink: { long: 'shrink', help: '' } },
  run: async () => 0,
});

/** Arguments and the options that differ from those of an empty command line. */
function parse(line: string, record: AnyCommand = sample): unknown {
  const result = parseArguments(record, line === '' ? [] : line.split(' '));
  if (result.help) return 'help';
  if (result.answer) return 'answer';
  const { arguments: args, options } = result.parsed;
  const interesting = Object.entries(options).filter(
    ([, value]) =>
      !(
        value === undefined ||
        value === false ||
        value === 0 ||
        value === 4096 ||
        (Array.isArray(value) && value.length === 0)
      ),
  );
  return { ...args, ...Object.fromEntries(interesting) };
}

describe('parseArguments', () => {
  const files = { sources: ['a'], target: 'b' };
  it.each([
    ['a b', files],
    ['a b c', { sources: ['a', 'b'], target: 'c' }],
    ['a -fraw b', { ...files, format: 'raw' }],
    ['-f raw a b', { ...files, format: 'raw' }],
    ['--format=raw a b', { ...files, format: 'raw' }],
    ['--format raw a b', { ...files, format: 'raw' }],
    ['--fo raw a b', { ...files, format: 'raw' }],
    ['--f=raw a b', { ...files, format: 'raw' }],
    ['-f raw -f vdi a b', { ...files, format: 'vdi' }],
    ['-qpfraw a b', { ...files, quiet: true, progress: 'human', format: 'raw' }],
    ['-qv -v a b', { ...files, quiet: true, verbose: 2 }],
    ['--progress=json a b', { ...files, progress: 'json' }],
    ['--progress a b', { ...files, progress: 'human' }],
    ['-f -q a b', { ...files, format: '-q' }],
    ['-- -f b', { sources: ['-f'], target: 'b' }],
    ['a - b', { sources: ['a', '-'], target: 'b' }],
    ['-S 64k -m8 a b', { ...files, sparse: 65536, tasks: 8 }],
    ['--object x --object=y a b', { ...files, objects: ['x', 'y'] }],
    ['--target-is a b -n', { ...files, isZero: true, noCreate: true }],
    ['a -h', 'help'],
    ['--he', 'help'],
    ['--help --bogus', 'help'],
  ])('reads %s', (line, result) => expect(parse(line)).toEqual(result));

  it.each([
    ['', 'arguments SRC and DST are missing'],
    ['a', 'argument DST is missing'],
    ['a b -f', "option '-f' needs a value FMT"],
    ['a b --fo', "option '--format' needs a value FMT"],
    ['a b -Z', "unknown option '-Z'"],
    ['a b -qZ', "unknown option '-Z'"],
    ['a b -q-v', "unknown option '--'"],
    ['a b --=x', "unknown option '--=x'"],
    ['a b --formt=raw', "unknown option '--formt' (did you mean '--format'?)"],
    ['a b --target', "option '--target' is ambiguous: it may be --target-is-zero, --target-image-opts"],
    ['a b --qui=1', "option '--quiet' takes no value"],
    ['a b --progress=xml', "option '--progress' expects human or json, not 'xml'"],
    ['a b -f raw --image-opts', "options '-f' and '--image-opts' cannot be used together"],
    ['a b --target-is-zero', "option '--target-is-zero' needs -n"],
    ['a b -m 17', "option '-m' expects a whole number from 1 to 16, not '17'"],
    ['a b -S x -S 4k', "option '-S' expects a number of bytes such as 65536, 64k or 1.5G, not 'x'"],
    ['a b ---f raw', "unknown option '---f'"],
    ['a b --constructor', "unknown option '--constructor'"],
  ])('refuses %j', (line, message) => expect(() => parse(line)).toThrow(message));

  it('keeps the order of what was given', () => {
    const result = parseArguments(sample, ['-q', 'a', '-fraw', 'b', '-q']);
    expect(result).toMatchObject({
      parsed: { given: [{ key: 'quiet' }, { key: 'format', value: 'raw' }, { key: 'quiet' }] },
    });
  });
  it('takes a last argument that begins with a dash', () => {
    expect(parse('disk -1G', resize)).toEqual({ file: 'disk', size: '-1G' });
    expect(parse('disk +1G --shrink', resize)).toEqual({ file: 'disk', size: '+1G', shrink: true });
    expect(parse('disk', resize)).toEqual({ file: 'disk' });
    expect(() => parse('disk 1G 2G', resize)).toThrow("unexpected argument '2G'");
  });
});
