'use strict';

// The type parsers that pg-types comes with, told apart by identity.
//
// Where one of them is in charge of a column, its value comes ready made from the core, or needs no
// parser at all. Any other function is the application's and gets the text. They are read from the
// module that defines them and not from the registry, because by the time this file is loaded an
// application may have put its own parsers there.

const registry = require('pg-types');
const textParsers = require('pg-types/lib/textParsers');
const { SLOTS } = require('../native/layout');

const BIGINT = 20;
const BYTEA = 17;

const own = new Map();
textParsers.init((oid, parser) => own.set(oid, parser));

// An unknown format is answered with the parser that parses nothing.
const noParse = registry.getTypeParser(0, 'none');
// Of a string it makes the same string.
const parseBigInteger = own.get(BIGINT);
const parseBytea = own.get(BYTEA);

const { TEXT, NUMBER, BOOLEAN, INSTANT, LOCAL, BINARY } = SLOTS;

// How a column is read: one letter each, so that the letters of a row name its builder.
const ways = {
  string: 's', // the text itself
  parsed: 't', // the parser, given the text
  bytea: 'x', // bytes from hexadecimal digits
  number: 'n',
  boolean: 'b',
  instant: 'i',
  local: 'l',
  raw: 'r', // the parser, given the text the slot does not hold
  binary: 'u', // the parser, given the bytes
};

const READY = {
  [NUMBER]: ways.number,
  [BOOLEAN]: ways.boolean,
  [INSTANT]: ways.instant,
  [LOCAL]: ways.local,
};

function wayOf(field, slot, parser) {
  if (slot === BINARY) return ways.binary;
  if (slot !== TEXT) return own.get(field.dataTypeID) === parser ? READY[slot] : ways.raw;
  if (parser === noParse || parser === parseBigInteger || parser === String) return ways.string;
  return parser === parseBytea ? ways.bytea : ways.parsed;
}

module.exports = { noParse, registry, ways, wayOf };
