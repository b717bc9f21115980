/** Names that someone may have meant: few edits away from what was written, or beginning with it. */

/** At most `limit` of `names`, nearest first. */
export function closest(word: string, names: Iterable<string>, limit = 3): string[] {
  const bound = Math.max(1, Math.floor(word.length / 3));
  const found: { name: string; distance: number }[] = [];
  for (const name of names) {
    const plain = (text: string): string => text.toLowerCase().replaceAll('_', '-');
    const near = distance(plain(word), plain(name), bound);
    if (near <= bound) found.push({ name, distance: near });
    else if (word.length >= 3 && (name.includes(word) || name.startsWith(word)))
      found.push({ name, distance: bound + 1 });
  }
  found.sort((a, b) => a.distance - b.distance);
  return found.slice(0, limit).map((entry) => entry.name);
}

/** Levenshtein distance of the two words; anything above `bound` when they differ by more. */
function distance(a: string, b: string, bound: number): number {
  if (Math.abs(a.length - b.length) > bound || a.length > 64) return bound + 1;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitute = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitute, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? bound + 1;
}

/** ` (did you mean 'a' or 'b'?)`, or nothing. */
export function suggestion(word: string, names: Iterable<string>): string | undefined {
  const list = closest(word, names).map((name) => `'${name}'`);
  return list.length === 0 ? undefined : `Did you mean ${list.join(' or ')}?`;
}
