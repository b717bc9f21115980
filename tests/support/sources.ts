/** The project's own sources as a parser sees them, for the tests of its architecture. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'rolldown/utils';

const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Source {
  /** Path from the project's folder, with forward slashes: `src/core/async/maybe.ts`. */
  readonly path: string;
  readonly lines: number;
  /** The comment that the file opens with, without its marks; empty when it opens with something else. */
  readonly opening: string;
  /** Every module the file names: static, dynamic and type imports, and re-exports. */
  readonly imports: readonly ImportLine[];
  /** Findings in code and comments that are not to be, each `line N: what`. */
  readonly banned: readonly string[];
  /** Calls that print or end the process, each `line N: what`. */
  readonly output: readonly string[];
}

export interface ImportLine {
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** Path from the project's folder for a relative import, else undefined. */
  readonly target: string | undefined;
}

/** All TypeScript files below a folder of the project, parsed. */
export function readSources(folder: string): Source[] {
  const names = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replaceAll('\\', '/'))
    .sort()
    .map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')));
}

/** Parse one file; `path` is from the project's folder. */
export function parseSource(path: string, text: string): Source {
  const { program, module, comments, errors } = parseSync(path, text);
  const first = errors[0];
  if (first !== undefined) throw new Error(`${path}: ${first.message}`);
  const lineOf = (position: number) => text.slice(0, position).split('\n').length;

  const imports: ImportLine[] = [];
  const addImport = (specifier: string, position: number) => {
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : undefined;
    imports.push({ line: lineOf(position), specifier, target });
  };
  for (const item of module.staticImports) addImport(item.moduleRequest.value, item.start);
  for (const item of module.staticExports) {
    const request = item.entries.find((entry) => entry.moduleRequest !== null)?.moduleRequest;
    if (request !== null && request !== undefined) addImport(request.value, item.start);
  }

  const banned: string[] = [];
  const output: string[] = [];
  for (const comment of comments) {
    const word = /\b(TODO|FIXME|XXX|HACK)\b|@ts-(ignore|expect-error|nocheck)/.exec(comment.value);
    if (word !== null) banned.push(`line ${lineOf(comment.start)}: ${word[0]}`);
  }
  walk(program, (node) => {
    const at = (what: string) => `line ${lineOf(node.start)}: ${what}`;
    const construct = BANNED_NODES[node.type];
    if (construct !== undefined) banned.push(at(construct));
    if (node.type === 'ImportExpression' || node.type === 'TSImportType') {
      const { value } = (node.source ?? node.argument) as { value?: unknown };
      if (typeof value === 'string') addImport(value, node.start);
    }
    const member = memberName(node);
    if (member !== undefined && OUTPUT.test(member)) output.push(at(member));
  });

  const opening = comments[0];
  const opens = opening !== undefined && text.slice(0, opening.start).trim() === '';
  return {
    path,
    lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0),
    opening: opens ? opening.value.replaceAll(/^\s*\*+/gm, '') : '',
    imports,
    banned,
    output,
  };
}

const BANNED_NODES: Readonly<Record<string, string>> = {
  TSAnyKeyword: 'the type any',
  TSNonNullExpression: 'a non-null assertion',
  TSEnumDeclaration: 'an enum',
  TSModuleDeclaration: 'a namespace',
  TSParameterProperty: 'a parameter property',
  TSExportAssignment: 'export =',
  ExportDefaultDeclaration: 'a default export',
  DebuggerStatement: 'debugger',
};

const OUTPUT = /^console\.|^process\.(stdout|stderr|exit|exitCode|abort|reallyExit)$/;

type Node = { readonly type: string; readonly start: number } & Readonly<Record<string, unknown>>;

/** `a.b` for a member access whose both halves are plain names. */
function memberName(node: Node): string | undefined {
  if (node.type !== 'MemberExpression' || node.computed === true) return undefined;
  const object = node.object as Node;
  const property = node.property as Node;
  return object.type === 'Identifier' ? `${String(object.name)}.${String(property.name)}` : undefined;
}

/** Visit every node. Depth is that of our own code, so recursion is safe here. */
function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit);
  } else if (typeof value === 'object' && value !== null) {
    if ('type' in value && typeof value.type === 'string') visit(value as Node);
    for (const child of Object.values(value)) if (typeof child === 'object') walk(child, visit);
  }
}
