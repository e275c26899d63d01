'use strict';

// Column readers: how the value of a column is read, by the parser that is in charge of it. A parser of pg-types,
// known by its identity, is not called: its value comes ready-made from the core, or needs no parser. Any other
// function is the application's, and gets the text.
//
// pg-types' own parsers come from the module that defines them and not from the registry, where an application may
// have put its own by the time this file is loaded.

const registry = require('pg-types');
const textParsers = require('pg-types/lib/textParsers');
const { SLOTS } = require('../native/layout');

const BIGINT = 20;
const BYTEA = 17;

const own = new Map();
textParsers.init((oid, parser) => own.set(oid, parser));

// pg-types answers an unknown format with the parser that parses nothing.
const noParse = registry.getTypeParser(/** @type {number} */ (0), /** @type {any} */ ('none'));
// pg-types' parser of bigint returns the string that it is given.
const parseBigInteger = own.get(BIGINT);
const parseBytea = own.get(BYTEA);

const { TEXT, NUMBER, BOOLEAN, INSTANT, LOCAL, BINARY } = SLOTS;

// A reader is one letter, so that the letters of a row identify its builder.
const READERS = {
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

const DECODED_BY_CORE = {
  [NUMBER]: READERS.number,
  [BOOLEAN]: READERS.boolean,
  [INSTANT]: READERS.instant,
  [LOCAL]: READERS.local,
};

function readerOf(field, slot, parser) {
  if (slot === BINARY) return READERS.binary;
  if (slot !== TEXT) return own.get(field.dataTypeID) === parser ? DECODED_BY_CORE[slot] : READERS.raw;
  if (parser === noParse || parser === parseBigInteger || parser === String) return READERS.string;
  return parser === parseBytea ? READERS.bytea : READERS.parsed;
}

module.exports = { READERS, noParse, readerOf, registry };
