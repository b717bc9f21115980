/** What tests of the shells share: where the scripts are, and reading what a shell offered. */
import { join } from 'node:path';
import { SHELLS } from '../../../../src/commands/cli/completion/command.ts';

export const PROGRAMS = ['img', 'io', 'nbd'] as const;

const root = join(import.meta.dirname, '..', '..', '..', '..', 'completions');

/** The script in completions/; tests/completions.test.ts sees to it that it is up to date. */
export function scriptPath(shell: string, program: string): string {
  return join(root, shell, SHELLS[shell]?.fileName(program) ?? '');
}

/** Of a text with `== LINE` before the words offered for it, the words for each of `lines`. */
export function offersOf(text: string, lines: readonly string[]): string[][] {
  const blocks = `\n${text}`.split('\n== ').slice(1);
  const found = new Map(
    blocks.map((block) => {
      const [line = '', ...words] = block.split('\n');
      return [line, words.filter((word) => word !== '')];
    }),
  );
  return lines.map((line) => found.get(line) ?? [`nothing was said of '${line}'`]);
}
