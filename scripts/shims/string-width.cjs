'use strict';
// Stands in for the package `string-width` in the bundles. The real one compiles emoji tables into regular
// expressions when it is loaded: 20 ms of a start-up that has 30 to spend. Our own texts are plain letters,
// of which each takes one column.
const { stripVTControlCharacters } = require('node:util');

/** Columns that `text` takes on a terminal, colour codes not counted. */
module.exports = function stringWidth(text) {
  return stripVTControlCharacters(String(text)).length;
};
