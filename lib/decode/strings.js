'use strict';

// Strings and bytes from the memory of a frame. None refers to that memory, or to a larger string, afterwards: a value
// that an application keeps costs no more memory than its own size.

const { TEXT_SLOT } = require('../native/layout');

const { NULL, NOT_ASCII } = TEXT_SLOT;

// V8 copies a substring below this length; from here on it would keep the whole string alive.
const SLICED = 13;

// Measured on Node 20: up to about this many characters `String.fromCharCode` with one argument per
// byte takes 15 to 45 ns, a call of `latin1Slice` 60 to 70 ns.
const SPELLED = 24;

const spell = speller() || ((bytes, at, length) => bytes.latin1Slice(at, at + length));

// One case per length, generated; undefined where code generation is disallowed.
function speller() {
  const cases = [];
  for (let length = 0; length <= SPELLED; length++) {
    const codes = Array.from({ length }, (_, i) => `bytes[at + ${i}]`).join(', ');
    cases.push(`case ${length}: return String.fromCharCode(${codes});`);
  }
  try {
    return new Function('bytes', 'at', 'length', `switch (length) { ${cases.join('\n')} }`);
  } catch {
    return undefined;
  }
}

function ascii(bytes, at, length) {
  return length <= SPELLED ? spell(bytes, at, length) : bytes.latin1Slice(at, at + length);
}

// `size` is the second word of a text slot.
function text(bytes, at, size) {
  if (size <= SPELLED) return spell(bytes, at, size);
  if (size === NULL) return null;
  if ((size & NOT_ASCII) === 0) return bytes.latin1Slice(at, at + size);
  return bytes.utf8Slice(at, at + (size ^ NOT_ASCII));
}

// bytea in PostgreSQL's hex form; `parser` reads the older escape form.
function bytea(bytes, at, size, parser) {
  if (size === NULL) return null;
  const hex = size >= 2 && bytes[at] === 0x5c && bytes[at + 1] === 0x78;
  return hex ? Buffer.from(bytes.latin1Slice(at + 2, at + size), 'hex') : parser(text(bytes, at, size));
}

// A copy of the bytes; the parsers of binary values may keep what they are given.
function copy(bytes, at, size) {
  const length = size & ~NOT_ASCII;
  if (at + length > bytes.length) throw new RangeError('a value ends beyond its frame');
  const own = Buffer.allocUnsafe(length);
  bytes.copy(own, 0, at, at + length);
  return own;
}

module.exports = { NULL, SLICED, ascii, text, bytea, copy };
