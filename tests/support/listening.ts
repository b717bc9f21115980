import { existsSync, readFileSync } from 'node:fs';

/** `__SO_ACCEPTCON` in the flags of /proc/net/unix. */
const LISTENS = '00010000';

/**
 * Somebody listens on the unix socket `path`. Its file alone does not say so: it is there from `bind` on, and until
 * `listen` clients are refused. Asking this way is no connection that a server would count.
 */
export function isListening(path: string): boolean {
  if (!existsSync(path)) return false;
  let table: string;
  try {
    table = readFileSync('/proc/net/unix', 'utf8');
  } catch {
    return true; // not Linux
  }
  // Num RefCount Protocol Flags Type St Inode Path
  return table.split('\n').some((line) => line.endsWith(` ${path}`) && line.split(/\s+/)[3] === LISTENS);
}
