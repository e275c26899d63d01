'use strict';

// Row interpreter: builds rows without generated code, for a statement that has just been met, for very wide rows, and
// for a process in which code generation is disallowed. The rows are those of row-compiler.js.

const { READERS } = require('./column-readers');
const { text, bytea, copy, ascii, NULL } = require('./strings');
const { local, readNan } = require('./packed-values');

// `layout` has names, readers, empty (a row of nulls) and asArray; see `Plan`.
function interpret(layout, parsers, rows, frame, slot, count, rawStart) {
  const columns = layout.readers.length;
  const { names, walks, asArray, empty } = layout;
  const bytes = frame.bytes;
  let at = rawStart;
  for (let r = 0; r < count; r++) {
    const row = asArray ? new Array(columns) : { ...empty };
    for (let i = 0; i < columns; i++, slot++) {
      const length = walks ? bytes.readInt32BE(at) : 0;
      const value = read(layout.readers[i], frame, slot, rawStart, parsers[i], at + 4, length);
      if (asArray) row[i] = value;
      else row[names[i]] = value;
      if (walks) at += length > 0 ? length + 4 : 4;
    }
    rows.push(row);
  }
}

// `at` and `length` are the position and length of the raw field, known only where the rows are walked through.
function read(reader, frame, slot, rawStart, parser, at, length) {
  const { bytes, words, doubles } = frame;
  const start = rawStart + words[slot * 2];
  const size = words[slot * 2 + 1];
  const number = doubles[slot];
  switch (reader) {
    case READERS.string:
      return text(bytes, start, size);
    case READERS.parsed:
      return size === NULL ? null : parser(text(bytes, start, size));
    case READERS.bytea:
      return bytea(bytes, start, size, parser);
    case READERS.binary:
      return size === NULL ? null : parser(copy(bytes, start, size));
    case READERS.raw:
      return length < 0 ? null : parser(ascii(bytes, at, length));
    default:
  }
  if (Number.isNaN(number)) return readNan(frame, slot, rawStart, parser);
  if (reader === READERS.boolean) return number === 1;
  if (reader === READERS.instant) return new Date(number);
  return reader === READERS.local ? local(number) : number;
}

module.exports = { interpret };
