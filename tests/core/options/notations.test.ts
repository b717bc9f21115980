import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asksForHelp,
  crumple,
  flatten,
  formatJson,
  formatJsonName,
  formatKeyValues,
  joinOptionLists,
  parseJson,
  parseJsonName,
  parseKeyValues,
} from '../../../src/core/options/index.ts';

describe('parseKeyValues', () => {
  it.each<[string, Record<string, string>]>([
    ['', {}],
    ['a=b', { a: 'b' }],
    ['a=b,', { a: 'b' }],
    ['a=b,c.d=e,,f', { a: 'b', 'c.d': 'e,f' }],
    ['a=,,', { a: ',' }],
    ['a=,,,b=1', { a: ',', b: '1' }],
    ['a=b=c', { a: 'b=c' }],
    ['size=1M, x= 2', { size: '1M', ' x': ' 2' }],
    ['lazy_refcounts,nocow', { lazy_refcounts: 'on', cow: 'off' }],
    ['a=1,a=2', { a: '2' }],
  ])('reads %j', (text, options) => expect(parseKeyValues(text)).toEqual(options));
  it('gives a first bare word to the implied key', () => {
    expect(parseKeyValues('no,,de,x=1', { impliedKey: 'file' })).toEqual({ file: 'no,de', x: '1' });
    expect(parseKeyValues('x=1,word', { impliedKey: 'file' })).toEqual({ x: '1', word: 'on' });
  });
  it('refuses items without a name, and bare words where they mean nothing', () => {
    expect(() => parseKeyValues('a=1,=3')).toThrow("option string 'a=1,=3' has an item without a name");
    expect(() => parseKeyValues(',a=1')).toThrow('without a name');
    expect(() => parseKeyValues('__proto__=1')).toThrow('without a name');
    expect(() => parseKeyValues('a=1,b', { strict: true })).toThrow("'b' needs a value");
  });
  it('reads back what formatKeyValues writes', () => {
    const key = fc.stringMatching(/^[a-z][a-z.-]{0,8}$/);
    fc.assert(
      fc.property(fc.dictionary(key, fc.string()), (options) => {
        expect(parseKeyValues(formatKeyValues(options))).toEqual({ ...options });
      }),
    );
    expect(formatKeyValues({ a: true, b: 5, c: null, d: undefined })).toBe('a=on,b=5,c=');
  });
});

describe('joinOptionLists', () => {
  it('joins lists', () => expect(joinOptionLists(['a=1', 'b=2,,'])).toBe('a=1,b=2,,'));
  it.each(['', ',a=1', 'a=1,', 'a=1,,,'])('refuses %j', (list) => {
    expect(() => joinOptionLists(['x=1', list])).toThrow(`invalid option list: ${list}`);
  });
});

describe('asksForHelp', () => {
  it('finds help as an item, not as a value', () => {
    for (const list of ['help', '?', 'a=1,help', '?,a=1']) expect(asksForHelp(list)).toBe(true);
    for (const list of ['a=help', 'helpful', 'a=1,,help', '']) expect(asksForHelp(list)).toBe(false);
  });
});

describe('crumple', () => {
  it('makes groups and lists, whatever the notation', () => {
    expect(
      crumple({
        driver: 'q',
        'file.filename': 'x',
        file: { driver: 'file' },
        'c.0.x': 1,
        'c.1': 'y',
        d: [{ 'a.b': 2 }],
        e: {},
      }),
    ).toEqual({
      driver: 'q',
      file: { filename: 'x', driver: 'file' },
      c: [{ x: 1 }, 'y'],
      d: [{ a: { b: 2 } }],
      e: {},
    });
  });
  it.each<[Record<string, unknown>, string]>([
    [{ file: 'x', 'file.filename': 'y' }, "options 'file' and 'file.filename' contradict each other"],
    [{ 'file.filename': 'y', file: 'x' }, "options 'file' and 'file.filename' contradict each other"],
    [{ file: null, 'file.a.b': 'y' }, "options 'file' and 'file.a.b' contradict each other"],
    [{ file: { filename: 'a' }, 'file.filename': 'b' }, "option 'file.filename' is given twice"],
    [{ 'a..b': 1 }, "'a..b' is no valid option name"],
    [{ 'a.__proto__.b': 1 }, 'is no valid option name'],
    [{ 'c.0': 1, 'c.2': 1 }, "list 'c' has 2 elements, but none numbered 1"],
    [{ 'c.0': 1, 'c.x': 1 }, "option 'c' mixes list elements and named options"],
    [{ 'c.4294967295': 1 }, "list 'c' has 1 elements, but none numbered 0"],
    [{ [Array(200).fill('a').join('.')]: 1 }, 'is nested deeper than 128 levels'],
  ])('refuses %j', (flat, message) => expect(() => crumple(flat)).toThrow(message));
  it('is the inverse of flatten', () => {
    const key = fc.stringMatching(/^[a-z]{1,4}$/);
    const { tree } = fc.letrec((tie) => ({
      tree: fc.dictionary(key, tie('node'), { minKeys: 1, maxKeys: 4 }),
      node: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.integer(),
        fc.constant(null),
        tie('tree'),
        fc.array(tie('node'), { maxLength: 3 }),
      ),
    }));
    fc.assert(
      fc.property(tree, (made) => {
        const record = made as Record<string, unknown>;
        expect(crumple(flatten(record))).toEqual(JSON.parse(JSON.stringify(record)));
        expect(crumple(record)).toEqual(JSON.parse(JSON.stringify(record)));
      }),
    );
  });
});

describe('parseJson', () => {
  it('agrees with JSON.parse', () =>
    fc.assert(
      fc.property(fc.json(), (text) => {
        fc.pre(!/__proto__|\d{16}/.test(text)); // whole numbers beyond 2^53-1 stay text
        expect(parseJson(text, 'it')).toEqual(JSON.parse(text));
        expect(JSON.parse(formatJson(parseJson(text, 'it')))).toEqual(JSON.parse(text));
      }),
    ));
  it('takes single quotes', () => {
    expect(parseJson(`{'a"b': 'it\\'s \\u0041\\\\', "c": "d'e"}`, 'it')).toEqual({ 'a"b': "it's A\\", c: "d'e" });
  });
  it('keeps numbers exact', () => {
    expect(parseJson('[9007199254740993, 1.5, -3, 1e3]', 'it')).toEqual(['9007199254740993', 1.5, -3, 1000]);
  });
  it.each([
    ['{', 'it is no valid JSON: no key in quotes at its end'],
    ['{"a":1,"a":2}', "key 'a' for the second time"],
    ['{"a":1} x', 'something after the value at character 9'],
    ['{"a" 1}', "no colon after key 'a'"],
    ['[1 2]', "neither ',' nor ']' at character 4"],
    ['"abc', 'a string without end'],
    ['"a\nb"', 'a control character'],
    ['"\\x"', 'a wrong escape'],
    ['{a:1}', 'no key in quotes'],
    ['[1,]', 'no value at character 4'],
    ['01', 'something after the value'],
    ['', 'no value at its end'],
    ['['.repeat(100_000), 'more than 128 levels'],
  ])('refuses %.20j', (text, message) => expect(() => parseJson(text, 'it')).toThrow(message));
});

describe('json: names', () => {
  it('come back as they went', () => {
    const options = { driver: 'raw', offset: 512, file: { driver: 'file', filename: 'a "b"\\' } };
    const name = formatJsonName(options);
    expect(name).toBe('json:{"driver": "raw", "offset": 512, "file": {"driver": "file", "filename": "a \\"b\\"\\\\"}}');
    expect(parseJsonName(name)).toEqual(options);
  });
  it('refuses what is no object, or too long', () => {
    expect(() => parseJsonName('json:[1]')).toThrow("name 'json:[1]' holds no JSON object");
    expect(() => parseJsonName(`json:{"a":"${'x'.repeat(200_000)}"}`)).toThrow('characters long, more than 131072');
  });
});
