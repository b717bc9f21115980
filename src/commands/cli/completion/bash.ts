/** Completions for bash (3.2 and later), with bash-completion or without. */

import type { CommandModel, Model, OptionModel } from './model.ts';
import type { Choice, Offered, TableName } from './offers.ts';
import { caseBranches, quoted } from './shell-text.ts';

export function bashScript(model: Model): string {
  const all = [model.own, ...model.commands];
  const name = `_${model.program}`;
  const text = [
    `# bash completion for ${model.program}                        -*- shell-script -*-`,
    `# Generated from the command records by '${model.program} completion bash'; do not edit.`,
    '',
    ...lists('FN_commands', '', [['', model.commands.map(({ name: word, summary }) => ({ word, help: summary }))]]),
    ...lists('FN_options', '$1', all.map(optionList)),
    '# What the value of an option may be; fails for an option without one: COMMAND OPTION',
    'FN_value() {',
    ...caseBranches('"$1 $2"', values(all), '*) return 1 ;;'),
    '}',
    '',
    '# What the argument of that number may be: COMMAND NUMBER',
    'FN_argument() {',
    ...caseBranches('"$1 $2"', argumentBranches(all), '*) kind=file ;;'),
    '}',
    '',
    '# Keep what decides about the keys of other options: COMMAND OPTION VALUE',
    'FN_note() {',
    ...caseBranches('"$1 $2"', [[all.flatMap(deciders), 'decided=$3']]),
    '}',
    '',
    '# What decides where nothing was said: COMMAND',
    'FN_fallback() {',
    ...caseBranches('$1', fallbacks(all)),
    '}',
    '',
    ...lists('FN_keys', '"$1"', tableLists(model)),
    ...lists('FN_key_values', '"$1"', keyValues(model)),
    ENGINE(model.isAlone),
    `complete -o default -F FN ${model.program}`,
  ].join('\n');
  return `${text.replaceAll('FN', name).replaceAll('@{', '${')}\n`;
}

type List = readonly [pattern: string, choices: readonly Choice[]];

/** A function that sets `list` to the words of the branch, each with its help behind a tab. */
function lists(name: string, subject: string, branches: readonly List[]): string[] {
  const assignment = (choices: readonly Choice[]): string =>
    ['list=(', ...choices.map(({ word, help }) => `  ${quoted(help === '' ? word : `${word}\t${help}`)}`), ')'].join(
      '\n',
    );
  if (subject === '') return [`${name}() {`, ...branches.map(([, choices]) => indent(assignment(choices))), '}', ''];
  const cases = branches.map(([pattern, choices]) => [[pattern], assignment(choices)] as const);
  return [`${name}() {`, '  list=()', ...caseBranches(subject, cases), '}', ''];
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}

function optionList({ name, options }: CommandModel): List {
  const words = options.flatMap(({ short, long, value, isBare, help }): Choice[] => [
    ...(long === undefined ? [] : [{ word: `--${long}${value === undefined || isBare ? '' : '='}`, help }]),
    ...(short === undefined ? [] : [{ word: `-${short}`, help }]),
  ]);
  return [name, words];
}

type Branch = readonly [patterns: readonly string[], action: string];

/** Options with the same values share a branch. */
function values(commands: readonly CommandModel[]): Branch[] {
  const branches = new Map<string, string[]>();
  for (const { name, options } of commands) {
    for (const option of options) {
      if (option.value === undefined) continue;
      const action = actionOf(option.offered);
      const patterns = branches.get(action) ?? [];
      branches.set(action, [...patterns, ...optionPatterns(name, option)]);
    }
  }
  return [...branches].map(([action, patterns]) => [patterns, action]);
}

/** A value that may be left out is given behind `=` only: the pattern then ends with it. */
function optionPatterns(command: string, { short, long, isBare }: OptionModel): string[] {
  if (isBare) return long === undefined ? [] : [`${command} --${long}=`];
  return [
    ...(short === undefined ? [] : [`${command} -${short}`]),
    ...(long === undefined ? [] : [`${command} --${long}`]),
  ];
}

function actionOf(offered: Offered): string {
  if (offered.kind === 'words') return `kind=words list=(${offered.words.map(quoted).join(' ')})`;
  return offered.kind === 'keys' ? `kind=keys table=${offered.table}` : `kind=${offered.kind}`;
}

function argumentBranches(commands: readonly CommandModel[]): Branch[] {
  return commands.flatMap(({ name, arguments: specs }) => {
    const branches = specs.map(
      (spec, index): Branch => [[`${name} ${spec.repeat ? '*' : index}`], actionOf(spec.offered)],
    );
    const repeated = specs.findIndex((spec) => spec.repeat);
    const end: Branch = [[`${name} *`], 'kind=nothing'];
    return repeated < 0 ? [...branches, end] : branches.slice(0, repeated + 1);
  });
}

function deciders({ name, decider }: CommandModel): string[] {
  return (decider?.names ?? []).map((option) => `${name} ${option}`);
}

function fallbacks(commands: readonly CommandModel[]): Branch[] {
  return commands.flatMap(({ name, decider }): Branch[] =>
    decider === undefined ? [] : [[[name], `decided=${decider.fallback}`]],
  );
}

function tableLists({ tables }: Model): List[] {
  const types = [...tables.object.keys()].map((type) => ({ word: `${type},`, help: '' }));
  const keys = (name: TableName): List[] =>
    [...tables[name]].map(([of, list]) => [
      `${name} ${of}`,
      list.map(({ word, help }) => ({ word: `${word}=`, help })),
    ]);
  return [['types', types], ...keys('create'), ...keys('amend'), ...keys('object')];
}

function keyValues({ tables }: Model): List[] {
  return (['create', 'amend', 'object'] as const).flatMap((name) =>
    [...tables[name]].flatMap(([of, keys]) =>
      keys.flatMap(({ word, values: words }): List[] =>
        words.length === 0 ? [] : [[`${name} ${of} ${word}`, words.map((each) => ({ word: each, help: '' }))]],
      ),
    ),
  );
}

/** Beside work of its own a program has a command only as its first word, and only one that it knows. */
const ALONE_BEGINS = '((i == 0)) && FN_options "$word" && ((@{#list[@]} > 0))';

/** `@{` stands for the beginning of an expansion, `FN` for the name of the main function. */
const ENGINE = (isAlone: boolean): string =>
  String.raw`# Set kind and list for the NAME=VALUE,... begun in $1
FN_pairs() {
  local part=@{1##*,} of=$decided
  base+=@{1%"$part"}
  if [[ $table == object ]]; then
    if [[ $1 != *,* ]]; then
      FN_keys types
      return
    fi
    of=@{1%%,*}
  fi
  if [[ $part == *=* ]]; then
    base+=@{part%%=*}=
    FN_key_values "$table $of @{part%%=*}"
    if ((@{#list[@]} == 0)); then kind=file; fi
  else
    FN_keys "$table $of"
  fi
}

# Put what fits of list into COMPREPLY
FN_reply() {
  local cut='' mark entry word
  # Only what is behind the last = or : is replaced by readline.
  for mark in = :; do
    [[ @{COMP_WORDBREAKS-} == *"$mark"* && $cur == *"$mark"* ]] || continue
    word=@{cur%"$mark"*}$mark
    if ((@{#word} > @{#cut})); then cut=$word; fi
  done
  for entry in "@{list[@]}"; do
    word=$base@{entry%%$'\t'*}
    if [[ $word == "$cur"* ]]; then COMPREPLY+=("@{word#"$cut"}"); fi
  done
  if ((@{#COMPREPLY[@]} == 1)); then
    case @{COMPREPLY[0]} in *[=,]) compopt -o nospace 2> /dev/null ;; esac
  fi
  # A mere listing, of which nothing is inserted: tell what the words mean.
  if ((@{COMP_TYPE:-9} == 63 && @{#COMPREPLY[@]} > 1)); then
    COMPREPLY=()
    for entry in "@{list[@]}"; do
      word=$base@{entry%%$'\t'*}
      [[ $word == "$cur"* ]] || continue
      word=@{word#"$cut"}
      if [[ $entry == *$'\t'* ]]; then word="$word  (@{entry#*$'\t'})"; fi
      COMPREPLY+=("@{word:0:@{COLUMNS:-80} - 1}")
    done
  fi
  if [[ $kind != file ]]; then compopt +o default 2> /dev/null; fi
}

# Put what begins with $1 into COMPREPLY, by kind; base is what stands before it in the same word
FN_offer() {
  if [[ $kind == keys ]]; then FN_pairs "$1"; fi
  FN_reply
}

FN() {
  local cur='' base='' word='' last='' command='' pending='' plain='' decided='' kind='' table=''
  local i at operands=0
  local -a words=() list=()
  COMPREPLY=()
  # Words as they were typed: readline cuts them at = and :
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=@{COMP_WORDS[i]-}
    at=$((@{#words[@]} - 1))
    if ((at >= 0)) && [[ $word =~ ^[=:]+$ || $last =~ ^[=:]+$ ]]; then
      words[at]+=$word
    else
      words+=("$word")
    fi
    last=$word
  done
  if ((@{#words[@]} > 0)); then cur=@{words[@{#words[@]} - 1]}; fi
  for ((i = 0; i < @{#words[@]} - 1; i++)); do
    word=@{words[i]}
    if [[ -n $pending ]]; then
      FN_note "$command" "$pending" "$word"
      pending=
    elif [[ $word == -?* && $word != -- && -z $plain ]]; then
      FN_option "$word"
    elif [[ $word == -- && -z $plain ]]; then
      plain=1
    elif @{BEGINS}; then
      command=$word decided='' plain=
      FN_fallback "$command"
    else
      operands=$((operands + 1))
    fi
  done
  FN_current
}

# An option before the word that is completed
FN_option() {
  local list
  if [[ $1 == --*=* ]]; then
    FN_note "$command" "@{1%%=*}" "@{1#*=}"
  elif [[ $1 == --* ]]; then
    if FN_value "$command" "$1"; then pending=$1; fi
  else
    for ((at = 1; at < @{#1}; at++)); do
      FN_value "$command" "-@{1:at:1}" || continue
      pending=-@{1:at:1}
      if ((at + 1 < @{#1})); then
        FN_note "$command" "$pending" "@{1:at + 1}"
        pending=
      fi
      return
    done
  fi
}

# The word that is completed
FN_current() {
  list=() kind=
  if [[ -n $pending ]]; then
    FN_value "$command" "$pending"
    FN_offer "$cur"
  elif [[ -n $plain || $cur != -* ]]; then
    FN_argument "$command" "$operands"
    if [[ -z $command ]] && ((operands == 0@{FIRST})); then FN_commands; fi
    FN_reply
  elif [[ $cur == --*=* ]]; then
    base=@{cur%%=*}=
    FN_value "$command" "@{cur%%=*}" || FN_value "$command" "$base" || kind=nothing
    FN_offer "@{cur#*=}"
  elif [[ $cur != --* ]] && ((@{#cur} > 2)) && FN_value "$command" "@{cur:0:2}"; then
    base=@{cur:0:2}
    FN_offer "@{cur:2}"
  else
    FN_options "$command"
    kind=words
    FN_reply
  fi
}
`
    .replace('@{BEGINS}', isAlone ? ALONE_BEGINS : '[[ -z $command ]]')
    .replace('@{FIRST}', isAlone ? ' && @{#words[@]} < 2' : '');
