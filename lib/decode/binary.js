'use strict';

// Binary values that the parsers of pg-types read wrong, or that it has no parser for and makes text of. They are read
// here, into the type of value that pg-types means to make, where its own parser is in charge of the column. A parser
// that the application has set gets the bytes.

const { noParse } = require('./column-readers');
const binaryParsers = require('pg-types/lib/binaryParsers');

const theirs = new Map();
binaryParsers.init((oid, parser) => theirs.set(oid, parser));
// `init` makes this parser anew each time, so it is known by its name.
const BOUND = 'bound parseDate';

const MILLIS_TO_2000 = Date.UTC(2000, 0, 1);
const MILLIS_OF_DAY = 24 * 60 * 60 * 1000;
const EARLIEST = -(2n ** 63n);
const LATEST = 2n ** 63n - 1n;
const EARLIEST_DAY = -(2 ** 31);
const LATEST_DAY = 2 ** 31 - 1;

const SPECIAL_NUMERIC = new Map([
  [0xc000, NaN],
  [0xd000, Infinity],
  [0xf000, -Infinity],
]);
const NEGATIVE_NUMERIC = 0x4000;

function utf8(bytes) {
  return bytes.toString('utf8');
}

// A Date whose local fields are the UTC fields of `utc`.
function asLocal(utc) {
  /** @type {[number, number, number, number, number, number]} */
  const fields = [
    utc.getUTCMonth(),
    utc.getUTCDate(),
    utc.getUTCHours(),
    utc.getUTCMinutes(),
    utc.getUTCSeconds(),
    utc.getUTCMilliseconds(),
  ];
  const year = utc.getUTCFullYear();
  const date = new Date(year, ...fields);
  // Date takes the years 0 to 99 for 1900 to 1999.
  if (year >= 0 && year < 100) date.setFullYear(year);
  return date;
}

// Microseconds, which a Date cannot hold: pg-types adds them as properties.
function withMicroseconds(date, micros) {
  date.usec = micros;
  date.getMicroSeconds = function () {
    return this.usec;
  };
  date.setMicroSeconds = function (value) {
    this.usec = value;
  };
  date.getUTCMicroSeconds = function () {
    return this.usec;
  };
  return date;
}

function moment(bytes, finish) {
  const since2000 = bytes.readBigInt64BE(0);
  if (since2000 === EARLIEST) return -Infinity;
  if (since2000 === LATEST) return Infinity;
  const micros = ((since2000 % 1000n) + 1000n) % 1000n;
  const millis = Number((since2000 - micros) / 1000n) + MILLIS_TO_2000;
  return withMicroseconds(finish(new Date(millis)), Number(micros));
}

function day(bytes) {
  const since2000 = bytes.readInt32BE(0);
  if (since2000 === EARLIEST_DAY) return -Infinity;
  if (since2000 === LATEST_DAY) return Infinity;
  return asLocal(new Date(MILLIS_TO_2000 + since2000 * MILLIS_OF_DAY));
}

// A numeric: digits to the base 10000, then the weight of the first.
function numeric(bytes) {
  const sign = bytes.readUInt16BE(4);
  if (SPECIAL_NUMERIC.has(sign)) return SPECIAL_NUMERIC.get(sign);
  const count = bytes.readUInt16BE(0);
  if (count === 0) return 0;
  let digits = '';
  for (let i = 0; i < count; i++) digits += String(bytes.readUInt16BE(8 + i * 2)).padStart(4, '0');
  const last = bytes.readInt16BE(2) - count + 1;
  return Number(`${sign === NEGATIVE_NUMERIC ? '-' : ''}${digits}e${last * 4}`);
}

function uuid(bytes) {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** @typedef {(bytes: Buffer) => any} BinaryReader */

/** @type {Map<number, BinaryReader>} */
const VALUES = new Map([
  [17, (bytes) => bytes],
  [26, (bytes) => bytes.readUInt32BE(0)],
  [700, (bytes) => bytes.readFloatBE(0)],
  [701, (bytes) => bytes.readDoubleBE(0)],
  [1082, day],
  [1114, (bytes) => moment(bytes, asLocal)],
  [1184, (bytes) => moment(bytes, (utc) => utc)],
  [1700, numeric],
  [2950, uuid],
]);

/** @type {Map<number, BinaryReader>} */
const ELEMENTS = new Map([
  ...VALUES,
  [16, (bytes) => bytes[0] !== 0],
  // Numbers, in the arrays of pg-types.
  [20, (bytes) => Number(bytes.readBigInt64BE(0))],
  [21, (bytes) => bytes.readInt16BE(0)],
  [23, (bytes) => bytes.readInt32BE(0)],
  [18, utf8],
  [19, utf8],
  [25, utf8],
  [1042, utf8],
  [1043, utf8],
]);

function array(bytes) {
  const dimensions = bytes.readInt32BE(0);
  const element = ELEMENTS.get(bytes.readUInt32BE(8));
  const lengths = Array.from({ length: dimensions }, (_, i) => bytes.readInt32BE(12 + i * 8));
  let at = 12 + dimensions * 8;
  const next = () => {
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    at += length;
    return element(bytes.subarray(at - length, at));
  };
  const nest = (depth) =>
    Array.from({ length: lengths[depth] }, depth === dimensions - 1 ? next : () => nest(depth + 1));
  return dimensions === 0 ? [] : nest(0);
}

// bool, bytea, int2, int4, text, bpchar, varchar, int8, float4, float8, oid, timestamp, date,
// timestamptz, numeric, uuid
const ARRAYS = [
  1000, 1001, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1115, 1182, 1185, 1231, 2951,
];
for (const oid of ARRAYS) VALUES.set(oid, array);

function isTheirs(parser, known) {
  return parser === known || (parser.name === BOUND && known.name === BOUND);
}

/** The function that reads a binary column whose parser, by registry or application, is `parser`. */
function binaryReader(oid, parser) {
  return isTheirs(parser, theirs.get(oid) ?? noParse) ? (VALUES.get(oid) ?? parser) : parser;
}

module.exports = { binaryReader };
