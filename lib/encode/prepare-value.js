'use strict';

// Parameter of a query from a JavaScript value: text, bytes, or null for NULL.
//
// The conversions are those of node-postgres, texts of errors included, because an application may depend on any of
// them. Nothing here knows the wire; request.js packs the result.

const { deprecate } = require('node:util');
const { isDate } = require('node:util/types');
const defaults = require('../defaults');

const warnOfInvalidDate = deprecate(
  () => {},
  'Sending an invalid date to Postgres is deprecated and will throw an error in the next major version of pg. ' +
    'Ensure any Date object passed as a query parameter is valid.',
  'PG_INVALID_DATE',
);

const NEEDS_ESCAPE = /["\\]/;
const ESCAPED = /["\\]/g;

// `seen` lists the objects whose `toPostgres` is being followed, to notice a cycle.
function toParameter(value, seen) {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (typeof value !== 'object') return value.toString();
  if (value instanceof Buffer) return value;
  if (ArrayBuffer.isView(value)) return asBuffer(value);
  if (isDate(value)) return fromDate(value);
  if (Array.isArray(value)) return fromArray(value);
  return fromObject(value, seen);
}

function fromObject(value, seen) {
  if (typeof value.toPostgres !== 'function') return JSON.stringify(value);
  const chain = seen || [];
  if (chain.includes(value)) {
    throw new Error(`circular reference detected while preparing "${value}" for query`);
  }
  chain.push(value);
  return toParameter(value.toPostgres(toParameter), chain);
}

function asBuffer(view) {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

// Array literal with `,` between the elements. Text elements are always quoted, so that an element 'NULL' or '' stays
// a text.
function fromArray(list) {
  let literal = '{';
  for (let i = 0; i < list.length; i++) {
    if (i > 0) literal += ',';
    literal += fromElement(list[i]);
  }
  return literal + '}';
}

function fromElement(item) {
  if (item === null || item === undefined) return 'NULL';
  if (Array.isArray(item)) return fromArray(item);
  if (ArrayBuffer.isView(item)) {
    const bytes = item instanceof Buffer ? item : asBuffer(item);
    return '\\\\x' + bytes.toString('hex');
  }
  const text = toParameter(item);
  // Anything but a string fails in `replace`, as in node-postgres.
  if (typeof text !== 'string' || NEEDS_ESCAPE.test(text)) return '"' + text.replace(ESCAPED, '\\$&') + '"';
  return '"' + text + '"';
}

// Local time with its offset: a timestamp column drops the offset, so it too gets the time on the application's clock.
function fromDate(date) {
  if (Number.isNaN(date.getTime())) warnOfInvalidDate();
  if (defaults.parseInputDatesAsUTC) {
    return calendar(
      date.getUTCFullYear(),
      date.getUTCMonth(),
      date.getUTCDate(),
      date.getUTCHours(),
      date.getUTCMinutes(),
      date.getUTCSeconds(),
      date.getUTCMilliseconds(),
      '+00:00',
    );
  }
  return calendar(
    date.getFullYear(),
    date.getMonth(),
    date.getDate(),
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
    date.getMilliseconds(),
    zone(-date.getTimezoneOffset()),
  );
}

// JavaScript counts a year 0, which PostgreSQL calls 1 BC.
function calendar(year, month, day, hour, minute, second, ms, offset) {
  const bc = year < 1;
  return (
    four(bc ? 1 - year : year) +
    '-' +
    two(month + 1) +
    '-' +
    two(day) +
    'T' +
    two(hour) +
    ':' +
    two(minute) +
    ':' +
    two(second) +
    '.' +
    three(ms) +
    offset +
    (bc ? ' BC' : '')
  );
}

function zone(minutesEast) {
  const minutes = Math.abs(minutesEast);
  return (minutesEast < 0 ? '-' : '+') + two(Math.floor(minutes / 60)) + ':' + two(minutes % 60);
}

function two(n) {
  return n < 10 ? '0' + n : String(n);
}

function three(n) {
  return n < 10 ? '00' + n : n < 100 ? '0' + n : String(n);
}

function four(n) {
  return n >= 1000 ? String(n) : String(n).padStart(4, '0');
}

// One argument only, so that `values.map(prepareValue)` does not take an index for `seen`.
function prepareValue(value) {
  return toParameter(value);
}

module.exports = { prepareValue, toParameter };
