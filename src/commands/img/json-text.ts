/**
 * JSON as qemu-img prints it: four spaces, one member a line, also for what is empty, and nothing but ASCII.
 * `undefined` members are left out.
 */
export function jsonText(value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return ascii(JSON.stringify(value));
  const inner = `${indent}    `;
  if (Array.isArray(value))
    return block(
      '[]',
      value.map((item) => inner + jsonText(item, inner)),
      indent,
    );
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return block(
    '{}',
    members.map(([key, member]) => `${inner}${ascii(JSON.stringify(key))}: ${jsonText(member, inner)}`),
    indent,
  );
}

function block(brackets: '[]' | '{}', lines: readonly string[], indent: string): string {
  return `${brackets[0]}\n${lines.length === 0 ? '' : `${lines.join(',\n')}\n`}${indent}${brackets[1]}`;
}

function ascii(text: string): string {
  return text.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
  );
}
