// What the scripts share: where the project is, and how they run its tools.
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isStamped, stampOf, writeStamp } from './stamp.mjs';

/** The folder that holds package.json. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Run a program in the project's folder with our own terminal; returns its exit status (128 + signal if killed). */
export function run(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) {
    process.stderr.write(`${program}: ${result.error.message}\n`);
    return 127;
  }
  return result.status ?? 128 + signalNumber(result.signal);
}

/** Run one of the installed development tools, e.g. `tool('@biomejs/biome', 'bin/biome', ['ci'])`. */
export function tool(packageName, script, args, options = {}) {
  return run(process.execPath, [join(root, 'node_modules', packageName, script), ...args], options);
}

/** `npm ci` when node_modules is missing or was made from another package-lock.json. */
export function installIfNeeded() {
  // A linked folder belongs to another checkout: npm ci would empty that one.
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) return;
  const stampFile = join(root, 'node_modules', '.blockyard-install');
  const stamp = stampOf([join(root, 'package-lock.json')]);
  if (existsSync(join(root, 'node_modules')) && (isStamped(stampFile, stamp) || installedSinceLock())) return;
  process.stderr.write('Installing dependencies (npm ci)…\n');
  const status = run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) {
    process.stderr.write(`npm ci ended with status ${status}; see its messages above\n`);
    process.exit(status);
  }
  writeStamp(stampFile, stamp);
}

/** npm's own record of what it installed is newer than the lock file: somebody ran `npm ci` by hand. */
function installedSinceLock() {
  const record = join(root, 'node_modules', '.package-lock.json');
  return modified(record) >= modified(join(root, 'package-lock.json'));
}

function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function signalNumber(signal) {
  return signal === null ? 0 : (constants.signals[signal] ?? 0);
}
