/** Completions for zsh's completion system, built on its `_arguments` and `_values`. */
import type { ArgumentModel, CommandModel, Model, OptionModel } from './model.ts';
import type { Key, Offered, TableName } from './offers.ts';
import { caseBranches, quoted } from './shell-text.ts';

/** In the text `FN` stands for the name of the main function, `@{` for the beginning of an expansion. */
export function zshScript(model: Model): string {
  const name = `_${model.program}`;
  const lines = [
    `#compdef ${model.program}`,
    `# Generated from the command records by '${model.program} completion zsh'; do not edit.`,
    '',
    'FN_commands() {',
    '  local -a commands=(',
    ...model.commands.map(({ name: word, summary }) => `    ${quoted(`${colons(word)}:${colons(summary)}`)}`),
    '  )',
    "  _describe -t commands 'command' commands",
    '}',
    '',
    ...keyFunctions(model),
    'FN_command() {',
    ...caseBranches(
      '$1',
      model.commands.map((command) => [[command.name], argumentsCall(command, '-s -S').join('\n')]),
      '*) _message "unknown command $1" ;;',
    ),
    '}',
    '',
    ...(model.isAlone ? aloneMain(model) : commandMain(model)),
    '# Loaded by the completion system it is a function already; sourced, it is made known here.',
    'if [[ $funcstack[1] == FN ]]; then',
    '  FN "$@"',
    'else',
    `  compdef FN ${model.program}`,
    'fi',
  ];
  return `${lines.join('\n').replaceAll('FN', name).replaceAll('@{', '${')}\n`;
}

/** Options, then a command, then what that takes. */
function commandMain({ own }: Model): string[] {
  return [
    'FN() {',
    '  local curcontext=$curcontext state line',
    '  typeset -A opt_args',
    ...argumentsCall(own, '-C -s -S', ["'1: :FN_commands'", "'*:: :->rest'"]).map((line) => `  ${line}`),
    '  if [[ $state == rest ]]; then FN_command $words[1]; fi',
    '}',
    '',
  ];
}

/** The first word may be a command, or begin the line of the program itself. */
function aloneMain({ own, commands }: Model): string[] {
  return [
    'FN_first() {',
    '  if ((CURRENT == 2)); then',
    "    _alternative 'commands:command:FN_commands' 'files:file:_files'",
    '  else',
    '    _files',
    '  fi',
    '}',
    '',
    'FN() {',
    '  typeset -A opt_args',
    `  if ((CURRENT > 2)) && [[ $words[2] == (${commands.map((command) => command.name).join('|')}) ]]; then`,
    '    shift words',
    '    ((CURRENT--))',
    '    FN_command $words[1]',
    '    return',
    '  fi',
    ...argumentsCall(own, '-s -S', ["'::FILE:FN_first'"]).map((line) => `  ${line}`),
    '}',
    '',
  ];
}

/** A call of `_arguments`; `operands` in the place of those of the command. */
function argumentsCall(command: CommandModel, flags: string, operands?: readonly string[]): string[] {
  const specs = [
    ...command.options.flatMap((option) => optionSpecs(command, option)),
    ...(operands ?? argumentSpecs(command.arguments)),
  ];
  return [`_arguments ${flags} \\`, ...specs.map((spec, at) => `  ${spec}${at + 1 < specs.length ? ' \\' : ''}`)];
}

function optionSpecs(command: CommandModel, option: OptionModel): string[] {
  const { short, long, value, isBare, repeat, excludes } = option;
  const before = repeat ? '*' : excludes.length > 0 ? `(${excludes.join(' ')})` : '';
  const help = `[${option.help.replace(/[[\]\\]/g, '\\$&')}]`;
  const after = value === undefined ? '' : `:${colons(value)}:${action(option.offered, command)}`;
  const specs: string[] = [];
  if (short !== undefined) specs.push(isBare || value === undefined ? `-${short}${help}` : `-${short}+${help}${after}`);
  if (long !== undefined && value === undefined) specs.push(`--${long}${help}`);
  if (long !== undefined && value !== undefined) {
    specs.push(isBare ? `--${long}=-${help}:${after}` : `--${long}=${help}${after}`);
  }
  return specs.map((spec) => quoted(before + spec));
}

/** Nothing may follow one that repeats. */
function argumentSpecs(specs: readonly ArgumentModel[]): string[] {
  const end = specs.findIndex((spec) => spec.repeat);
  const shown = end < 0 ? specs : specs.slice(0, end + 1);
  return shown.map((spec) => {
    const before = spec.repeat ? '*:' : spec.optional ? '::' : ':';
    return quoted(`${before}${colons(spec.name)}:${action(spec.offered)}`);
  });
}

function action(offered: Offered, command?: CommandModel): string {
  if (offered.kind === 'file') return '_files';
  if (offered.kind === 'nothing') return ' ';
  if (offered.kind === 'words') {
    // A word that goes on takes the names of files behind it.
    if (offered.words.some((word) => word.endsWith('='))) return ` FN_words ${offered.words.join(' ')}`;
    return `(${offered.words.join(' ')})`;
  }
  const { names = [], fallback = '' } = command?.decider ?? {};
  return offered.table === 'object' ? ' FN_objects' : [' FN_keys', offered.table, fallback, ...names].join(' ');
}

function keyFunctions({ tables }: Model): string[] {
  const branches = (name: TableName): (readonly [readonly string[], string])[] =>
    [...tables[name]].map(([of, keys]) => [[name === 'object' ? of : `${name} ${of}`], valuesCall(keys)] as const);
  return [
    '# Words that end with = and take a file behind it',
    'FN_words() {',
    '  if compset -P 1 "*="; then _files; else compadd -S "" -- "$@"; fi',
    '}',
    '',
    '# Keys of the format that one of the options names: TABLE FALLBACK OPTION...',
    'FN_keys() {',
    '  local table=$1 of=$2 option',
    '  shift 2',
    '  for option; do of=@{opt_args[$option]:-$of}; done',
    ...caseBranches('"$table $of"', [...branches('create'), ...branches('amend')], '*) _message "option of $of" ;;'),
    '}',
    '',
    '# TYPE,KEY=VALUE,...',
    'FN_objects() {',
    '  local type=@{PREFIX%%,*}',
    '  if ! compset -P 1 "*,"; then',
    `    compadd -S , -- ${[...tables.object.keys()].join(' ')}`,
    '    return',
    '  fi',
    ...caseBranches('$type', branches('object')),
    '}',
    '',
  ];
}

function valuesCall(keys: readonly Key[]): string {
  const specs = keys.map(({ word, help, values }) => {
    const text = help === '' ? '' : `[${help.replace(/[[\]\\:]/g, '\\$&')}]`;
    return quoted(`${word}${text}:${colons(word)}:${values.length === 0 ? '_files' : `(${values.join(' ')})`}`);
  });
  if (specs.length === 0) return '_message "no options"';
  return [`_values -s , option \\`, ...specs.map((spec, at) => `  ${spec}${at + 1 < specs.length ? ' \\' : ''}`)].join(
    '\n',
  );
}

function colons(text: string): string {
  return text.replace(/[\\:]/g, '\\$&');
}
