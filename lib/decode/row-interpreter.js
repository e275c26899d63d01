'use strict';

// Rows without generated code: for a statement that has just been met, for very wide rows, and for a
// process in which code generation is disallowed. It gives the same rows as `row-builder.js`.

const { ways } = require('./column-readers');
const { text, bytea, copy, ascii, NULL } = require('./strings');
const { local, odd } = require('./packed-values');

// `layout` has names, ways, empty (a row of nulls) and asArray; see `Plan`.
function interpret(layout, parsers, rows, frame, slot, count, rawStart) {
  const columns = layout.ways.length;
  const { names, walks, asArray, empty } = layout;
  const bytes = frame.bytes;
  let at = rawStart;
  for (let r = 0; r < count; r++) {
    const row = asArray ? new Array(columns) : { ...empty };
    for (let i = 0; i < columns; i++, slot++) {
      const length = walks ? bytes.readInt32BE(at) : 0;
      const value = read(layout.ways[i], frame, slot, rawStart, parsers[i], at + 4, length);
      if (asArray) row[i] = value;
      else row[names[i]] = value;
      if (walks) at += length > 0 ? length + 4 : 4;
    }
    rows.push(row);
  }
}

// `at` and `length` are those of the raw field, known only where the rows are walked through.
function read(way, frame, slot, rawStart, parser, at, length) {
  const { bytes, words, doubles } = frame;
  const start = rawStart + words[slot * 2];
  const size = words[slot * 2 + 1];
  const number = doubles[slot];
  switch (way) {
    case ways.string:
      return text(bytes, start, size);
    case ways.parsed:
      return size === NULL ? null : parser(text(bytes, start, size));
    case ways.bytea:
      return bytea(bytes, start, size, parser);
    case ways.binary:
      return size === NULL ? null : parser(copy(bytes, start, size));
    case ways.raw:
      return length < 0 ? null : parser(ascii(bytes, at, length));
    default:
  }
  if (Number.isNaN(number)) return odd(frame, slot, rawStart, parser);
  if (way === ways.boolean) return number === 1;
  if (way === ways.instant) return new Date(number);
  return way === ways.local ? local(number) : number;
}

module.exports = { interpret };
