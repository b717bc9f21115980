'use strict';
// Start one of the programs in dist/cli. CommonJS on purpose: it starts faster than an ES module, and an ES
// module entry is itself read through the thread pool, whose size could then no longer be set from here.
const { statSync } = require('node:fs');
const { availableParallelism, homedir } = require('node:os');
const { basename, isAbsolute, join } = require('node:path');
const Code = require('./code.js');

/**
 * Run `name` (img, io, nbd) on this process's arguments and set the exit status it returns. The program calls
 * itself what it was called as, so that a link named qemu-img reports errors under that name.
 */
module.exports = function launch(name) {
  // Node answers it with a debugger that anybody on this machine can connect to. With a listener that stays it asks for
  // progress where there is some, and nothing else; without one it would end the program once a command listens no more.
  process.on('SIGUSR1', () => {});
  // Requests that must wait go through libuv's pool; four threads are too few to keep a disk busy.
  process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, Math.min(16, 2 * availableParallelism())));
  compileLater();
  const folder = join(__dirname, '..', 'dist', 'cli');
  const code = Code.of(folder, name, codeFolder());
  if (code === undefined) {
    const file = join(folder, `${name}.cjs`);
    process.stderr.write(`${name}: ${file} does not exist: Blockyard is not built; npm run build makes it\n`);
    process.exitCode = 1;
    return;
  }
  const programName = basename(process.argv[1]);
  const program = code.load();
  program.main(process.argv.slice(2), programName).then(
    (status) => {
      process.exitCode = status;
      // The last to hear of it.
      process.once('exit', () => leaveAtOnce(program));
    },
    (error) => {
      process.stderr.write(`${programName}: internal error: ${error?.stack ?? error}\n`);
      process.exitCode = 70;
    },
  );
};

/**
 * Spare Node the time to take itself apart. Not where it has something left to do: a profile, coverage or the like that
 * it was asked for, terminals and pipes to be put back into the mode they were in.
 */
function leaveAtOnce({ leave }) {
  const { execArgv, exitCode, moduleLoadList, env } = process;
  const asked = execArgv.length > 0 || env.NODE_OPTIONS || env.NODE_V8_COVERAGE || env.NODE_COMPILE_CACHE;
  const usesStreams = moduleLoadList?.some((name) => /^NativeModule (tty|net)$/.test(name)) ?? true;
  if (!asked && !usesStreams) leave?.(exitCode);
}

/**
 * Most runs are over in a second. What V8 11 (Node 20) then spends on optimising code in the background is more than it
 * wins, and takes a core from the work: functions are to be three times as hot as by default. Later versions have a
 * cheaper compiler in between.
 */
function compileLater() {
  if (!process.versions.v8.startsWith('11.')) return;
  // Not by `require('node:v8')`, which loads all of Node's streams on the way: 3 ms.
  const { noDeprecation } = process;
  process.noDeprecation = true;
  process.binding('v8').setFlagsFromString('--interrupt-budget=405504');
  process.noDeprecation = noDeprecation;
}

/** Where compiled code is kept between runs; undefined where it cannot be: then we only start slower. */
function codeFolder() {
  const { NODE_COMPILE_CACHE: named, NODE_DISABLE_COMPILE_CACHE: disabled, XDG_CACHE_HOME: cache = '' } = process.env;
  if (disabled) return undefined;
  if (named) return named;
  // Relative paths are to be ignored (XDG Base Directory Specification).
  const base = isAbsolute(cache) ? cache : homeFolder();
  if (base === undefined || !isOurs(base)) return undefined;
  return join(base, ...(base === cache ? [] : ['.cache']), 'blockyard', 'code');
}

/** Undefined for a user without one. */
function homeFolder() {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : undefined;
  } catch {
    return undefined;
  }
}

/** A folder that is missing is not for us to make, and code is taken only from where nobody else may put it. */
function isOurs(folder) {
  try {
    const { uid } = statSync(folder);
    return process.geteuid === undefined || uid === process.geteuid();
  } catch {
    return false;
  }
}
