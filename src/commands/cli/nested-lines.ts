/** Groups and lists by indentation, four spaces a level; a dash in a name is shown as a space. */
export function nestedLines(value: object, level: number): string[] {
  const indent = '    '.repeat(level);
  const members: [string, unknown][] = Array.isArray(value)
    ? value.map((item: unknown, index) => [`[${index}]`, item])
    : Object.entries(value).map(([key, item]) => [key.replaceAll('-', ' '), item]);
  return members.flatMap(([key, item]) => {
    if (item === undefined) return [];
    if (typeof item === 'object' && item !== null) return [`${indent}${key}:`, ...nestedLines(item, level + 1)];
    return [`${indent}${key}: ${String(item)}`];
  });
}
