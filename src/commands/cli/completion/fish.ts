/** Completions for fish: a `complete` for each command and option, and functions for lists of keys. */
import type { CommandModel, Model, OptionModel } from './model.ts';
import type { Key, Offered, TableName } from './offers.ts';

export function fishScript(model: Model): string {
  const { program, own, commands } = model;
  const lines = [
    `# fish completion for ${program}`,
    `# Generated from the command records by '${program} completion fish'; do not edit.`,
    '',
    ...whichCommand(model),
    ...keyFunctions(model),
    ...(model.isAlone ? [] : [`complete -c ${program} -n 'FN_using ""' -f`]),
    ...own.options.map((option) => optionLine(program, own, option)),
    ...commands.flatMap((command) => [
      '',
      `complete -c ${program} -n FN_first -a ${command.name} -d ${quotedFish(command.summary)}`,
      ...argumentLines(program, command),
      ...command.options.map((option) => optionLine(program, command, option)),
    ]),
  ];
  return `${lines.join('\n').replaceAll('FN', `__${program}`)}\n`;
}

/** Functions that tell which command a line is about, and whether one may follow. */
function whichCommand({ isAlone, own, commands }: Model): string[] {
  const names = commands.map((command) => command.name).join(' ');
  const valued = own.options.filter((option) => option.value !== undefined).flatMap(typedNames);
  const walk = [
    '    while set -q words[1]',
    '        switch $words[1]',
    `            case ${valued.join(' ')}`,
    '                set -e words[1]',
    "            case '-*'",
    "            case '*'",
    '                break',
    '        end',
    '        set -e words[1]',
    '    end',
  ];
  return [
    '# The command of the line; nothing where there is none before the cursor',
    'function FN_command',
    '    set -l words (commandline -opc)',
    '    set -e words[1]',
    ...(isAlone ? [] : walk),
    `    if contains -- "$words[1]" ${names}`,
    '        echo $words[1]',
    ...(isAlone ? [] : ['    else if set -q words[1]', "        echo '?'"]),
    '    end',
    'end',
    '',
    'function FN_using',
    '    test "$(FN_command)" = "$argv[1]"',
    'end',
    '',
    'function FN_first',
    ...(isAlone ? ['    test (count (commandline -opc)) = 1'] : ['    FN_using ""']),
    'end',
    '',
  ];
}

function typedNames({ short, long }: OptionModel): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), ...(long === undefined ? [] : [`--${long}`])];
}

function condition({ name }: CommandModel): string {
  return `-n ${quotedFish(`FN_using ${name === '' ? '""' : name}`)}`;
}

function optionLine(program: string, command: CommandModel, option: OptionModel): string {
  const { short, long, help } = option;
  return [
    `complete -c ${program} ${condition(command)}`,
    ...(short === undefined ? [] : [`-s ${short}`]),
    ...(long === undefined ? [] : [`-l ${long}`]),
    ...(option.value === undefined ? [] : [valueText(option, command)]),
    `-d ${quotedFish(help)}`,
  ].join(' ');
}

function valueText({ offered, isBare }: OptionModel, command: CommandModel): string {
  if (offered.kind === 'file') return '-r -F';
  // Without -x a value may be left out.
  const flag = isBare ? '-f' : '-x';
  return offered.kind === 'nothing' ? flag : `${flag} -a ${words(offered, command)}`;
}

function words(offered: Offered, command: CommandModel): string {
  if (offered.kind === 'words') return quotedFish(offered.words.join(' '));
  if (offered.kind !== 'keys') return "''";
  const { names = [], fallback = '' } = command.decider ?? {};
  const call = offered.table === 'object' ? ['FN_objects'] : ['FN_format_keys', offered.table, fallback, ...names];
  return quotedFish(`(${call.join(' ')})`);
}

/** Names of files are offered unless something says not to. */
function argumentLines(program: string, command: CommandModel): string[] {
  const offers = command.arguments.map((argument) => argument.offered);
  const listed = offers.flatMap((offered) => (offered.kind === 'words' ? offered.words : []));
  const takesFiles = offers.some((offered) => offered.kind === 'file') || listed.some((word) => word.endsWith('='));
  const more = [...(takesFiles ? [] : ['-f']), ...(listed.length === 0 ? [] : [`-a ${quotedFish(listed.join(' '))}`])];
  return more.length === 0 ? [] : [[`complete -c ${program} ${condition(command)}`, ...more].join(' ')];
}

function keyFunctions({ tables }: Model): string[] {
  const names: readonly TableName[] = ['create', 'amend', 'object'];
  const every = names.flatMap((name) => [...tables[name]].map(([of, keys]) => [`${name} ${of}`, keys] as const));
  return [
    '# Keys as NAME=, a tab and their help: TABLE NAME',
    'function FN_keys',
    '    switch "$argv"',
    ...every.flatMap(([pattern, keys]) => [
      `        case ${quotedFish(pattern)}`,
      ...(keys.length === 0 ? ['            true'] : [printed(keys.map(({ word, help }) => `${word}=\t${help}`))]),
    ]),
    '    end',
    'end',
    '',
    '# Values of a key: TABLE NAME KEY',
    'function FN_key_values',
    '    switch "$argv"',
    ...every.flatMap(([pattern, keys]) => valueCases(pattern, keys)),
    '    end',
    'end',
    '',
    ...PAIRS,
    'function FN_objects',
    '    set -l value (FN_value_token)',
    '    if string match -q "*,*" -- $value',
    "        FN_pairs object (string replace -r ',.*' '' -- $value)",
    '    else',
    printed([...tables.object.keys()].map((type) => `${type},`)),
    '    end',
    'end',
    '',
  ];
}

function valueCases(pattern: string, keys: readonly Key[]): string[] {
  return keys.flatMap(({ word, values }) =>
    values.length === 0 ? [] : [`        case ${quotedFish(`${pattern} ${word}`)}`, printed(values)],
  );
}

function printed(lines: readonly string[]): string {
  return ["            printf '%s\\n'", ...lines.map((line) => `                ${quotedFish(line)}`)].join(' \\\n');
}

const PAIRS = [
  '# The value that is being typed, without its option',
  'function FN_value_token',
  "    commandline -ct | string replace -r '^(--[\\w-]+=|-\\w(?!=))' ''",
  'end',
  '',
  '# What the list NAME=VALUE,... can go on with: TABLE NAME',
  'function FN_pairs',
  '    set -l value (FN_value_token)',
  "    set -l last (string replace -r '^.*,' '' -- $value)",
  "    set -l head (string replace -r '[^,]*$' '' -- $value)",
  "    if string match -q '*=*' -- $last",
  "        set -l key (string replace -r '=.*' '' -- $last)",
  '        set -l found (FN_key_values $argv $key)',
  '        if set -q found[1]',
  '            printf "%s\\n" $head$key=$found',
  '        else',
  "            __fish_complete_path (string replace -r '^[^=]*=' '' -- $last) | string replace -r '^' -- $head$key=",
  '        end',
  '    else',
  '        printf "%s\\n" $head(FN_keys $argv)',
  '    end',
  'end',
  '',
  '# Keys of the format that one of the options names: TABLE FALLBACK OPTION...',
  'function FN_format_keys',
  '    set -l of $argv[2]',
  '    set -l words (commandline -opc)',
  '    for option in $argv[3..]',
  '        for at in (seq (count $words))',
  '            if test "$words[$at]" = $option; and set -q words[(math $at + 1)]',
  '                set of $words[(math $at + 1)]',
  '            else if string match -q -- \'--*\' $option; and string match -q -- "$option=*" $words[$at]',
  "                set of (string replace -r '^[^=]*=' '' -- $words[$at])",
  '            else if string match -qr -- \'^-\\w$\' $option; and string match -q -- "$option?*" $words[$at]',
  '                set of (string sub -s 3 -- $words[$at])',
  '            end',
  '        end',
  '    end',
  '    FN_pairs $argv[1] $of',
  'end',
  '',
];

function quotedFish(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
