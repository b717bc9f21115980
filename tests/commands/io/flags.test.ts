import { describe, expect, test } from 'vitest';
import { commandTable, shellCommands } from '../../../src/commands/io/commands/index.ts';
import { takeFlags } from '../../../src/commands/io/flags.ts';
import { usageLine } from '../../../src/commands/io/shell-command.ts';

const specs = { q: { help: '' }, v: { help: '' }, P: { value: 'pattern', help: '' } };

function taken(line: string) {
  const result = takeFlags(line.split(' '), specs);
  return typeof result === 'string' ? result : { flags: [...result.flags], operands: result.operands };
}

describe('takeFlags', () => {
  test.each([
    ['c 0 1', [], ['0', '1']],
    ['c -q 0', [['q', '']], ['0']],
    [
      'c 0 -qv 1',
      [
        ['q', ''],
        ['v', ''],
      ],
      ['0', '1'],
    ],
    ['c -P 7 0', [['P', '7']], ['0']],
    [
      'c -qP7 0',
      [
        ['q', ''],
        ['P', '7'],
      ],
      ['0'],
    ],
    ['c -P -1 0', [['P', '-1']], ['0']],
    ['c -q -- -v', [['q', '']], ['-v']],
    ['c - 0', [], ['-', '0']],
  ])('%s', (line, flags, operands) => expect(taken(line)).toEqual({ flags, operands }));

  test('says what is wrong', () => {
    expect(taken('read -z 0')).toBe("read: invalid option -- 'z'");
    expect(taken('read 0 -P')).toBe("read: option requires an argument -- 'P'");
  });

  test('leaves dashes alone where a command has no flags', () => {
    expect(takeFlags(['sleep', '-1'], undefined)).toMatchObject({ operands: ['-1'] });
  });
});

describe('the records of commands', () => {
  test('have names and aliases of their own', () => {
    const names = shellCommands.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(new Set(names).size).toBe(names.length);
    expect(commandTable().size).toBe(names.length);
  });

  test.each(shellCommands.map((command) => [command.name, command] as const))(
    '%s shows each of its flags',
    (_, command) => {
      const shown = [...(command.usage ?? '').matchAll(/-([A-Za-z]+)/g)].flatMap(([, letters]) => [...(letters ?? '')]);
      // What is accepted and means nothing is not shown.
      const flags = Object.entries(command.flags ?? {})
        .filter(([, spec]) => !spec.help.startsWith('Means nothing'))
        .map(([flag]) => flag);
      const inUsage = new Set(shown);
      // `open` does not show -i, as scripts know its usage line.
      if (command.name === 'open') inUsage.add('i');
      // Nor does any show -L, for the same reason.
      if (command.flags?.L) inUsage.add('L');
      expect([...inUsage].sort()).toEqual(flags.sort());
      expect(usageLine(command)).toMatch(/ -- [a-z][^\n]*\n$/);
    },
  );
});
