'use strict';

// Plan of a result: how its rows are built, for one row description and one set of parsers. It starts without
// generated code, which costs more than a few rows cost, and generates it once enough rows have passed.

const { binaryReader } = require('./binary');
const { READERS, readerOf } = require('./column-readers');
const { builder } = require('./row-compiler');
const { interpret } = require('./row-interpreter');

const ROWS_BEFORE_BUILDER = 64;
// The engine does not optimise a function as long as wider rows would make it.
const WIDEST_BUILT = 256;

class Plan {
  constructor(shape, asArray, parsers) {
    this.asArray = asArray;
    this.parsers = parsers;
    const readers = parsers.map((parser, i) => readerOf(shape.fields[i], shape.slots[i], parser));
    // The parsers that are called: those of binary columns may be ours.
    this.calledParsers = parsers.map((parser, i) =>
      readers[i] === READERS.binary ? binaryReader(shape.fields[i].dataTypeID, parser) : parser,
    );
    this.layout = {
      names: shape.fields.map((field) => field.name),
      readers,
      asArray,
      empty: shape.empty,
      // Whether some value can be found only by walking through the raw bytes.
      walks: readers.includes(READERS.raw),
    };
    this.rows = readers.length > WIDEST_BUILT ? -Infinity : 0;
    this.built = null;
  }

  // Appends `count` rows to `rows`. `slot` counts in units of 8 bytes and `rawStart` in bytes from the start of the
  // frame's memory. Throws what a parser throws; the rows before it have been appended.
  append(rows, frame, slot, count, rawStart, rawLength, flags) {
    if (this.built !== null) {
      this.built(rows, frame, slot, count, rawStart, rawLength, flags);
      return;
    }
    this.rows += count;
    if (this.rows > ROWS_BEFORE_BUILDER && this.build()) {
      this.built(rows, frame, slot, count, rawStart, rawLength, flags);
    } else {
      interpret(this.layout, this.calledParsers, rows, frame, slot, count, rawStart);
    }
  }

  build() {
    const make = builder(this.layout);
    if (make === undefined) {
      this.rows = -Infinity;
      return false;
    }
    this.built = make(this.calledParsers);
    return true;
  }
}

module.exports = Plan;
