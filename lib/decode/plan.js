'use strict';

// How the rows of one shape are built for one set of parsers. It starts without generated code, which
// costs more to make than a few rows cost to build, and gets it once enough rows have passed.

const { binaryReader } = require('./binary');
const { ways, wayOf } = require('./column-readers');
const { builder } = require('./row-compiler');
const { interpret } = require('./row-interpreter');

const ROWS_BEFORE_BUILDER = 64;
// The engine does not optimise a function as long as wider rows would make it.
const WIDEST_BUILT = 256;

class Plan {
  constructor(shape, asArray, parsers) {
    this.asArray = asArray;
    this.parsers = parsers;
    const letters = parsers.map((parser, i) => wayOf(shape.fields[i], shape.slots[i], parser));
    this.readers = parsers.map((parser, i) =>
      letters[i] === ways.binary ? binaryReader(shape.fields[i].dataTypeID, parser) : parser,
    );
    this.layout = {
      names: shape.fields.map((field) => field.name),
      ways: letters,
      asArray,
      empty: shape.empty,
      // Whether some value is to be found only by walking through raw.
      walks: letters.includes(ways.raw),
    };
    this.rows = letters.length > WIDEST_BUILT ? -Infinity : 0;
    this.built = null;
  }

  // Appends `count` rows to `rows`. `slot` counts in units of 8 bytes and `rawStart` in bytes from the
  // start of the frame's memory. What a parser throws comes out of here; the rows before it are there.
  append(rows, frame, slot, count, rawStart, rawLength, flags) {
    if (this.built !== null) {
      this.built(rows, frame, slot, count, rawStart, rawLength, flags);
      return;
    }
    this.rows += count;
    if (this.rows > ROWS_BEFORE_BUILDER && this.build()) {
      this.built(rows, frame, slot, count, rawStart, rawLength, flags);
    } else {
      interpret(this.layout, this.readers, rows, frame, slot, count, rawStart);
    }
  }

  build() {
    const make = builder(this.layout);
    if (make === undefined) {
      this.rows = -Infinity;
      return false;
    }
    this.built = make(this.readers);
    return true;
  }
}

module.exports = Plan;
