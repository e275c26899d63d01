'use strict';

// Frames of chance: the corpus of the fuzzers, and random changes to it, laid out as frames. Whatever the
// fields hold, all ways to decode them give what pg's parsers make of them; and a frame that is damaged itself is an
// error or wrong rows, but never a decoder that runs on or reads what is not there.

const fs = require('node:fs');
const path = require('node:path');
const types = require('pg-types');
const { Chance } = require('./faults/chance');
const { columnsOf, rowsFrame } = require('./support/frame-writer');
require('./support/patience');
const Result = require('../lib/result');
const Shape = require('../lib/decode/row-description');

const CORPUS = path.join(__dirname, '../fuzz/corpus/rows');
const ROUNDS = 500;
const OIDS = [25, 23, 16, 1184, 1114, 1082, 701, 26, 1700];
const AS_TEXT = new Set([25, 1700]);
// Where the record begins in a frame of `rowsFrame`; `word` counts fours of bytes.
const HEADER_WORDS = 6;
// From this many rows on they are built by generated code.
const MANY = 65;

const corpus = fs
  .readdirSync(CORPUS)
  .sort()
  .map((name) => fs.readFileSync(path.join(CORPUS, name)));

/** As in src/postgres/fuzzing.rs: the columns' types up to a zero byte, then rows, each after its length. */
function read(bytes) {
  const zero = bytes.indexOf(0);
  const letters = [...bytes.subarray(0, zero < 0 ? bytes.length : zero)].slice(0, 64);
  const oids = letters.map((letter) => OIDS[letter % OIDS.length]);
  const rows = [];
  for (let at = zero + 1; zero >= 0 && at < bytes.length; at += 1 + bytes[at]) {
    const row = fieldsOf(bytes.subarray(at + 3, at + 1 + bytes[at]), oids);
    if (row === undefined) break;
    rows.push(row);
  }
  return { oids, rows };
}

/** Undefined: that is no row. */
function fieldsOf(body, oids) {
  const row = [];
  let at = 0;
  for (const oid of oids) {
    if (at + 4 > body.length) return undefined;
    const length = body.readInt32BE(at);
    at += 4;
    if (length < -1 || at + Math.max(length, 0) > body.length) return undefined;
    const value = length < 0 ? null : Buffer.from(body.subarray(at, at + length));
    // Only texts may be in another alphabet.
    if (value !== null && !AS_TEXT.has(oid)) value.forEach((byte, i) => (value[i] = byte & 0x7f));
    row.push(value);
    at += Math.max(length, 0);
  }
  return row;
}

function changed(bytes, chance) {
  let next = Buffer.from(bytes);
  for (let changes = chance.between(0, 4); changes > 0 && next.length > 0; changes--) {
    const at = chance.between(0, next.length - 1);
    const kind = chance.between(0, 3);
    if (kind === 0) next[at] ^= 1 << chance.between(0, 7);
    else if (kind === 1) next[at] = chance.between(0, 255);
    else if (kind === 2)
      next = Buffer.concat([next.subarray(0, at), next.subarray(at + chance.between(1, 20))]);
    else
      next = Buffer.concat([next.subarray(0, at), Buffer.from([chance.between(0, 255)]), next.subarray(at)]);
  }
  return next;
}

const fieldsFor = (oids) =>
  oids.map((dataTypeID, i) => ({
    name: `c${i}`,
    tableID: 0,
    columnID: 0,
    dataTypeID,
    dataTypeSize: -1,
    dataTypeModifier: -1,
    format: 'text',
  }));

/** What `decode` gives: one result with few rows, and one of which generated code builds the rows. */
function decode(oids, rows, rowMode, damage = () => {}) {
  const fields = columnsOf(fieldsFor(oids));
  const isShort = rows.flat().every((value) => value === null || value.every((byte) => byte < 128));
  return [rows, Array.from({ length: Math.ceil(MANY / rows.length) }, () => rows).flat()].map((all) => {
    const result = new Result(rowMode);
    result.open(new Shape(1, fields));
    const { frame, word } = rowsFrame(fields, all, isShort);
    damage(frame, word, all.length);
    result.append(frame, word);
    return result.rows;
  });
}

const shown = (value) =>
  value instanceof Date ? `date ${value.getTime()}` : Object.is(value, NaN) ? 'NaN' : value;

test(`${ROUNDS} times chance: rows are decoded in all ways as pg's parsers read them`, () => {
  const chance = new Chance(1, 'frames');
  let checked = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { oids, rows } = read(round < corpus.length ? corpus[round] : changed(chance.pick(corpus), chance));
    if (rows.length === 0 || oids.length === 0) continue;
    const expected = rows.map((row) =>
      row.map((value, i) =>
        value === null ? null : shown(types.getTypeParser(oids[i])(value.toString('utf8'))),
      ),
    );
    const [few, many] = decode(oids, rows, 'array');
    const [fewObjects, manyObjects] = decode(oids, rows).map((all) => all.map((row) => Object.values(row)));
    for (const got of [few, many.slice(-rows.length), fewObjects, manyObjects.slice(-rows.length)]) {
      expect(got.map((row) => row.map(shown))).toEqual(expected);
    }
    checked += 1;
  }
  expect(checked).toBeGreaterThan(ROUNDS / 10);
});

test(`${ROUNDS} times chance: a damaged frame is an error or as many rows as it says`, () => {
  const chance = new Chance(2, 'damage');
  const ends = { rows: 0, errors: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const { oids, rows } = read(chance.pick(corpus));
    if (rows.length === 0 || oids.length === 0) continue;
    let said;
    const damage = (frame, word) => {
      for (let changes = chance.between(1, 3); changes > 0; changes--) {
        // The words after the header are rows, bytes of raw, and slots; raw follows.
        const at = chance.isTrue(0.3)
          ? word + 4 + chance.between(0, 1)
          : chance.between(word + HEADER_WORDS, frame.words.length - 1);
        frame.words[at] = chance.pick([
          0,
          1,
          0x7fffffff,
          0xffffffff,
          0x7ff80002,
          frame.words[at] ^ (1 << chance.between(0, 31)),
          chance.between(0, 2 ** 32 - 1),
        ]);
      }
      said = frame.words[word + 4];
    };
    for (const rowMode of ['array', undefined]) {
      try {
        const all = decode(oids, rows, rowMode, damage);
        expect(all[1]).toHaveLength(said);
        ends.rows += 1;
      } catch (error) {
        if (error.matcherResult !== undefined) throw error;
        ends.errors += 1;
      }
    }
  }
  expect(ends.rows).toBeGreaterThan(0);
  expect(ends.errors).toBeGreaterThan(0);
});
