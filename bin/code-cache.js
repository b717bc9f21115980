'use strict';
// Load the bundles of dist/cli with their compiled code kept between runs. Newer Nodes have that built in; for
// those before 22.1 this halves what starting a program costs beyond Node itself. Whatever goes wrong with the
// cache is passed over: the code is then compiled, as it would be without.
const fs = require('node:fs');
const { createRequire } = require('node:module');
const { basename, dirname, join } = require('node:path');
const vm = require('node:vm');

/** A program that is killed leaves its temporary file, an update its old code: after this time they go. */
const STALE_MS = 30 * 24 * 60 * 60 * 1000;

/**
 * `require(file)` for a bundle whose further chunks lie below its folder; the cache is below `folder`. What the
 * bundles take from elsewhere they get by `require`: `import()` does not work in code from a cache, and the build makes `require` of those within a bundle.
 */
module.exports = function loadCached(file, folder) {
  const name = dirname(file).replaceAll(/\W+/g, '-').slice(-100);
  const cache = join(folder, `${process.version}-${process.arch}${name}`);
  const loaded = new Map();
  const compiled = new Map();
  const outside = createRequire(file);

  const load = (path) => {
    const known = loaded.get(path);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    loaded.set(path, module);
    const inside = dirname(path);
    const require = (id) => (id.startsWith('.') ? load(join(inside, id)) : outside(id));
    compile(path, cache, compiled).call(module.exports, module.exports, require, module, path, inside);
    return module.exports;
  };
  process.once('exit', () => keep(cache, compiled));
  return load(file);
};

function compile(path, cache, compiled) {
  const source = fs.readFileSync(path, 'utf8');
  const { size, mtimeMs } = fs.statSync(path);
  const key = join(cache, `${basename(path)}-${size}-${Math.floor(mtimeMs)}`);
  const script = new vm.Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
    filename: path,
    cachedData: readIfThere(key),
  });
  if (script.cachedDataRejected !== false) compiled.set(key, script);
  return script.runInThisContext();
}

function readIfThere(path) {
  try {
    return fs.readFileSync(path);
  } catch {
    return undefined;
  }
}

/** At the end, since the code of functions that ran is then among it. */
function keep(cache, compiled) {
  if (compiled.size === 0) return;
  try {
    fs.mkdirSync(cache, { recursive: true, mode: 0o700 });
    for (const [key, script] of compiled) {
      const temporary = `${key}.${process.pid}`;
      fs.writeFileSync(temporary, script.createCachedData());
      fs.renameSync(temporary, key);
    }
    const limit = Date.now() - STALE_MS;
    for (const name of fs.readdirSync(cache)) {
      const path = join(cache, name);
      if (fs.statSync(path).mtimeMs < limit) fs.rmSync(path);
    }
  } catch {
    // no room, no right, or another run was faster
  }
}
