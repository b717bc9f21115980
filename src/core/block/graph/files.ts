/** Which host files a graph of nodes lies in, so that an image is not made over one that it needs. */
import fs from 'node:fs';
import { subtree } from './drain.ts';
import { localPath } from './file-name.ts';
import type { Node } from './node.ts';

/** The node at or below `top` that lies in the file or block device `name`, by whatever path; undefined when none does. */
export function nodeInFile(top: Node, name: string): Node | undefined {
  const wanted = identity(name);
  if (wanted === undefined) return undefined;
  return [...subtree(top)].find((node) => node.driver.kind === 'protocol' && identity(node.fileName) === wanted);
}

/** The same for all names of one file; undefined for what is no file with content of its own. */
function identity(name: string): string | undefined {
  const path = localPath(name);
  const stat = path === undefined ? undefined : statOf(path);
  if (stat?.isFile()) return `file ${stat.dev} ${stat.ino}`;
  return stat?.isBlockDevice() ? `device ${stat.rdev}` : undefined;
}

function statOf(path: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
