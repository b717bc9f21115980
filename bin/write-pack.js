'use strict';
// Write a pack (see code.js): four bytes with the length of the header, the header, then the text and the compiled code
// of each part in turn. The header is JSON: when it was written, how often since something was missing in it, and name
// and lengths of each part.
const fs = require('node:fs');
const { dirname, join } = require('node:path');

/** A program that is killed leaves its temporary file, a Node that is gone its packs: after this time they go. */
const STALE_MS = 30 * 24 * 60 * 60 * 1000;

/** What is in the pack `before` and was not used now is taken over. Nothing is said of what goes wrong. */
module.exports = function writePack(file, before, scripts, times) {
  const folder = dirname(file);
  const temporary = `${file}.${process.pid}`;
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const fd = fs.openSync(temporary, 'w', 0o600);
    try {
      fs.writeSync(fd, packed(before, scripts, times));
      // What is run must be what was written, also after the power has failed.
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, file);
    if (before === undefined) removeStale(dirname(folder));
  } catch {
    // no room, no right
    try {
      fs.rmSync(temporary, { force: true });
    } catch {}
  }
};

function packed(before, scripts, times) {
  const parts = [];
  const add = (name, text, data) => parts.push({ name, bytes: [Buffer.from(text, 'latin1'), data] });
  for (const [name, { text, script }] of scripts) add(name, text, script.createCachedData());
  for (const name of before?.names ?? []) if (!scripts.has(name)) add(name, before.text(name), before.data(name));
  const lengths = parts.map(({ name, bytes: [text, data] }) => [name, text.length, data.length]);
  const header = Buffer.from(JSON.stringify({ written: Date.now(), times, parts: lengths }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header, ...parts.flatMap(({ bytes }) => bytes)]);
}

/** In the folders of all versions. */
function removeStale(cache) {
  const limit = Date.now() - STALE_MS;
  for (const version of fs.readdirSync(cache, { withFileTypes: true })) {
    if (!version.isDirectory()) continue;
    for (const name of fs.readdirSync(join(cache, version.name))) {
      const path = join(cache, version.name, name);
      if (fs.statSync(path).mtimeMs < limit) fs.rmSync(path);
    }
  }
}
