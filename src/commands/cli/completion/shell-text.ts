/** Pieces of text that scripts for several shells have in common. */

/** As one word of bash and zsh. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

type Branch = readonly [patterns: readonly string[], action: string];

/** A `case` of bash and zsh. A star in a pattern stays one; `rest` is a branch for everything else. */
export function caseBranches(subject: string, branches: readonly Branch[], rest?: string): string[] {
  const lines = branches.flatMap(([patterns, action]) =>
    patterns.length === 0
      ? []
      : [`    ${patterns.map(pattern).join(' | ')})`, ...action.split('\n').map((line) => `      ${line}`), '      ;;'],
  );
  return [`  case ${subject} in`, ...lines, ...(rest === undefined ? [] : [`    ${rest}`]), '  esac'];
}

function pattern(text: string): string {
  return text.endsWith('*') ? `${quoted(text.slice(0, -1))}*` : quoted(text);
}
