// Is a build or an install still good? A stamp is one hash over the names, sizes and times of what went in:
// cheap enough (a few ms) to be asked at every start.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Hash of names, sizes and modification times of the files and, recursively, folders in `paths`. */
export function stampOf(paths) {
  const hash = createHash('sha256');
  for (const path of paths) add(hash, path);
  return hash.digest('hex');
}

/** True when the file `stampFile` holds `stamp`. */
export function isStamped(stampFile, stamp) {
  try {
    return readFileSync(stampFile, 'utf8') === stamp;
  } catch {
    return false;
  }
}

/** Remember `stamp` in `stampFile`. */
export function writeStamp(stampFile, stamp) {
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
}

function add(hash, path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    hash.update(`${path}\0absent\0`);
  } else if (stat.isDirectory()) {
    for (const name of readdirSync(path).sort()) add(hash, join(path, name));
  } else {
    hash.update(`${path}\0${stat.size}\0${stat.mtimeMs}\0`);
  }
}
