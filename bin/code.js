'use strict';
// The code of a program: the bundles of dist/cli, of which each is loaded when it is first used.
//
// Loading would be most of what starting a program costs beyond Node itself. So all the code that a command has used
// is kept between runs in one file, the pack, as V8 has compiled it: one file to read and nothing to compile. Node 22
// can keep compiled code by itself, but file by file, and what the first run compiled and no more.
//
// A pack is good for the entry whose text it holds; the entry names the others by their content. Whatever goes wrong
// with it is passed over: the code is then compiled from dist/cli, as it would be without.
const fs = require('node:fs');
const { dirname, join } = require('node:path');
const vm = require('node:vm');

const HEAD = '(function (exports, require, module, __filename, __dirname) {';
const TAIL = '\n})';

/** After these times it is written anew, with what was compiled meanwhile: each is this many times the one before. */
const FIRST_AGE_MS = 10_000;
const AGE_FACTOR = 4;
/** A process that ran longer may have dropped compiled code that it had no use for any more. */
const SHORT_RUN_S = 5;

module.exports = class Code {
  /** Folder of the bundles, and the file in it that is the program. */
  #folder;
  #entry;
  /** Folder of the packs; undefined where nothing is kept. */
  #packs;
  #pack;
  #loaded = new Map();
  /** What was compiled in this run: text and script by name. */
  #scripts = new Map();
  /** Something was used that is not in the pack. */
  #lacks = false;

  /** The program `name` in `folder`; undefined where there is none. `cache` is the folder for all compiled code, if any. */
  static of(folder, name, cache) {
    const text = readIfThere(join(folder, `${name}.cjs`))?.latin1Slice();
    return text === undefined ? undefined : new Code(folder, name, text, cache);
  }

  constructor(folder, name, text, cache) {
    this.#folder = folder;
    this.#entry = `${name}.cjs`;
    if (cache !== undefined) {
      const place = folder.replaceAll(/\W+/g, '-').slice(-100);
      this.#packs = join(cache, `${process.version}-${process.arch}${place}`);
      this.#pack = this.#readPack(HEAD + text + TAIL);
      process.once('exit', () => this.#keep());
    }
  }

  /** What the entry exports. */
  load() {
    return this.#load(this.#entry);
  }

  /**
   * What the bundles take from elsewhere they get by `require`: `import()` does not work in code from a cache, and the
   * build makes `require` of those within a bundle.
   */
  #load(name) {
    const known = this.#loaded.get(name);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    this.#loaded.set(name, module);
    const inside = (id) => (id.startsWith('.') ? this.#load(join(dirname(name), id)) : require(id));
    const path = join(this.#folder, name);
    this.#compile(name, path).call(module.exports, module.exports, inside, module, path, dirname(path));
    return module.exports;
  }

  #compile(name, filename) {
    // The build writes ASCII only, which is read and kept fastest.
    const text = this.#pack?.text(name) ?? HEAD + fs.readFileSync(filename, 'latin1') + TAIL;
    const script = new vm.Script(text, { filename, cachedData: this.#pack?.data(name) });
    if (script.cachedDataRejected !== false) this.#lacks = true;
    this.#scripts.set(name, { text, script });
    return script.runInThisContext();
  }

  /** One for each command, so that none has to read what only others need; and one for all that is no command. */
  #packFile(word) {
    const program = this.#entry.slice(0, -4);
    return join(this.#packs, word === undefined ? program : `${program}-${word}`);
  }

  /** Undefined where there is none that fits. */
  #readPack(entryText) {
    const word = commandWord();
    const bytes = (word && readIfThere(this.#packFile(word))) ?? readIfThere(this.#packFile());
    if (bytes === undefined) return undefined;
    try {
      const pack = new Pack(bytes);
      return pack.text(this.#entry) === entryText ? pack : undefined;
    } catch {
      return undefined;
    }
  }

  /** At the end, since the code of functions that ran is then among it. */
  #keep() {
    const { written = 0, times = 0 } = this.#pack ?? {};
    const old = Date.now() - written > FIRST_AGE_MS * AGE_FACTOR ** times && process.uptime() < SHORT_RUN_S;
    if (!this.#lacks && !old) return;
    const { isCommand } = this.#loaded.get(this.#entry)?.exports ?? {};
    const word = commandWord();
    const file = this.#packFile(word !== undefined && isCommand?.(word) ? word : undefined);
    require('./write-pack.js')(file, this.#pack, this.#scripts, this.#lacks ? 0 : times + 1);
  }
};

/** The word that may name a command. */
function commandWord() {
  const word = process.argv[2];
  return word !== undefined && /^[a-z]{1,20}$/.test(word) ? word : undefined;
}

/** What a pack holds; write-pack.js says how. */
class Pack {
  #bytes;
  #places = new Map();

  /** Throws where it is damaged. */
  constructor(bytes) {
    const begin = 4 + bytes.readUInt32LE(0);
    const { written, times, parts } = JSON.parse(bytes.latin1Slice(4, begin));
    let at = begin;
    for (const [name, textLength, dataLength] of parts) {
      const dataAt = at + textLength;
      this.#places.set(name, { at, dataAt, end: dataAt + dataLength });
      at = dataAt + dataLength;
    }
    if (at !== bytes.length) throw new Error('cut short');
    this.#bytes = bytes;
    /** Milliseconds since 1970, and how often it was written since something was missing in it. */
    this.written = written;
    this.times = times;
  }

  get names() {
    return this.#places.keys();
  }

  text(name) {
    const place = this.#places.get(name);
    return place && this.#bytes.latin1Slice(place.at, place.dataAt);
  }

  data(name) {
    const place = this.#places.get(name);
    return place && this.#bytes.subarray(place.dataAt, place.end);
  }
}

function readIfThere(path) {
  try {
    return fs.readFileSync(path);
  } catch {
    return undefined;
  }
}
