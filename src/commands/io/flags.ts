/** The words behind a command's name, taken apart as getopt does: flags anywhere, grouped, with values. */

export interface FlagSpec {
  /** What its value is called; absent for a plain flag. */
  readonly value?: string;
  readonly help: string;
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

export interface Words {
  /** Flags that were given, each with its last value (empty for a plain one). */
  readonly flags: ReadonlyMap<string, string>;
  /** Every value of flags that were given with one, in order. */
  readonly given: readonly (readonly [flag: string, value: string])[];
  readonly operands: readonly string[];
}

const NO_FLAGS: ReadonlyMap<string, string> = new Map();
const NONE_GIVEN: Words['given'] = [];

/** `words` begins with the name of the command. A text is what is wrong, for the user. */
export function takeFlags(words: readonly string[], specs: FlagSpecs | undefined): Words | string {
  if (specs === undefined || !words.some(isFlag)) {
    return { flags: NO_FLAGS, given: NONE_GIVEN, operands: words.slice(1) };
  }
  const name = words[0] ?? '';
  const flags = new Map<string, string>();
  const given: [string, string][] = [];
  const operands: string[] = [];
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--') return { flags, given, operands: [...operands, ...words.slice(at + 1)] };
    if (!isFlag(word)) {
      operands.push(word);
      continue;
    }
    for (let index = 1; index < word.length; index++) {
      const flag = word[index] ?? '';
      const spec = Object.hasOwn(specs, flag) ? specs[flag] : undefined;
      if (spec === undefined) return `${name}: invalid option -- '${flag}'`;
      let value = '';
      if (spec.value !== undefined) {
        const attached = word.slice(index + 1);
        const next = attached === '' ? words[++at] : attached;
        if (next === undefined) return `${name}: option requires an argument -- '${flag}'`;
        value = next;
        index = word.length;
      }
      flags.set(flag, value);
      given.push([flag, value]);
    }
  }
  return { flags, given, operands };
}

function isFlag(word: string): boolean {
  return word.length > 1 && word.charCodeAt(0) === 0x2d;
}
