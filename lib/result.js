'use strict';

// Result of one statement. Its own properties are those of node-postgres, in the same order.
//
// pg-cursor fills it by `addFields`, `parseRow`, `addRow` and `addCommandComplete`; our own statements by `open`,
// `append` and `complete`, which read frames of the core.

const { registry } = require('./decode/column-readers');
const { RECORD, ROWS } = require('./native/layout');

const TAG = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/;

// The last command tag and its parts: a statement that runs again mostly ends with the same tag.
let lastTag = '';
let last = { command: null, rowCount: null, oid: null };

const { COUNT, RAW_LENGTH, HEADER } = ROWS;
const { LENGTH, KIND, KIND_BITS } = RECORD;

class Result {
  #plan = null;

  constructor(rowMode, types) {
    this.command = null;
    this.rowCount = null;
    this.oid = null;
    this.rows = [];
    this.fields = [];
    this._parsers = undefined;
    this._types = types;
    this.RowCtor = null;
    this.rowAsArray = rowMode === 'array';
    if (this.rowAsArray) this.parseRow = this._parseRowAsArray;
    this._prebuiltEmptyResultObject = null;
  }

  // Takes over the columns. The array of fields is this result's own; the fields are shared by all results of the
  // row description.
  open(shape) {
    const plan = shape.plan(this.rowAsArray, this._types);
    this.#plan = plan;
    this.fields = shape.fields.slice();
    this._parsers = plan.parsers.length > 0 ? plan.parsers : undefined;
    this._prebuiltEmptyResultObject = shape.empty;
  }

  // Appends the rows of a ROWS record that begins at `word` of the frame. They fill it: with other columns than theirs
  // they would be read from the record behind it.
  append(frame, word) {
    const words = frame.words;
    const count = words[word + COUNT];
    if (count === 0) return;
    const slot = (word + HEADER) / 2;
    const rawStart = (slot + count * this.fields.length) * 8;
    const unused = word * 4 + words[word + LENGTH] - rawStart - words[word + RAW_LENGTH];
    if (unused < 0 || unused >= 8) throw new Error('a record of rows does not fit its columns');
    this.#plan.append(
      this.rows,
      frame,
      slot,
      count,
      rawStart,
      words[word + RAW_LENGTH],
      words[word + KIND] >>> KIND_BITS,
    );
  }

  // Takes the command tag: 'SELECT 5', 'INSERT 0 1', 'BEGIN'.
  complete(tag) {
    if (tag !== lastTag) {
      last = readTag(tag);
      lastTag = tag;
    }
    if (last.command === null) return;
    this.command = last.command;
    if (last.oid !== null) this.oid = last.oid;
    if (last.rowCount !== null) this.rowCount = last.rowCount;
  }

  addCommandComplete(message) {
    this.complete(message.text || message.command);
  }

  addFields(fields) {
    this.fields = fields;
    if (fields.length > 0) this._parsers = new Array(fields.length);
    const source = this._types || registry;
    const row = Object.create(null);
    fields.forEach((field, i) => {
      row[field.name] = null;
      this._parsers[i] = source.getTypeParser(field.dataTypeID, field.format || 'text');
    });
    this._prebuiltEmptyResultObject = { ...row };
  }

  addRow(row) {
    this.rows.push(row);
  }

  parseRow(texts) {
    const row = { ...this._prebuiltEmptyResultObject };
    texts.forEach((text, i) => {
      row[this.fields[i].name] = this._parse(text, i);
    });
    return row;
  }

  _parseRowAsArray(texts) {
    return texts.map((text, i) => this._parse(text, i));
  }

  _parse(text, i) {
    if (text === null) return null;
    return this._parsers[i](this.fields[i].format === 'binary' ? Buffer.from(text) : text);
  }
}

// A tag with two numbers has the oid first.
function readTag(tag) {
  const [, command = null, first, second] = TAG.exec(tag) || [];
  const numbers = [first, second].filter((digits) => digits !== undefined).map(Number);
  return {
    command,
    rowCount: numbers.length > 0 ? numbers.at(-1) : null,
    oid: numbers.length > 1 ? numbers[0] : null,
  };
}

module.exports = Result;
