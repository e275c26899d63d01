'use strict';

// Packed values: doubles that hold more than a number, namely calendar fields, or a value hidden in a NaN.

const { NUMBER_SLOT } = require('../native/layout');
const { ascii } = require('./strings');

const TWO_TO_32 = 4294967296;

// Day to millisecond fill exactly 32 bits; year and month are above them.
function local(packed) {
  const above = Math.floor(packed / TWO_TO_32);
  const below = packed >>> 0;
  const year = Math.floor(above / 16);
  const date = new Date(
    year,
    (above & 15) - 1,
    below >>> 27,
    (below >>> 22) & 31,
    (below >>> 16) & 63,
    (below >>> 10) & 63,
    below & 1023,
  );
  // Date takes the years 0 to 99 for 1900 to 1999.
  if (year >= 0 && year < 100) date.setFullYear(year);
  return date;
}

// Reads a slot that is NaN: NULL, or a text that is not in the plain form, or the number NaN.
function readNan(frame, slot, rawStart, parser) {
  const high = frame.words[slot * 2 + 1];
  if (high === NUMBER_SLOT.NULL) return null;
  if (high !== NUMBER_SLOT.SEE_TEXT) return NaN;
  const at = rawStart + frame.words[slot * 2];
  return parser(ascii(frame.bytes, at, frame.bytes.readInt32BE(at - 4)));
}

module.exports = { local, readNan };
