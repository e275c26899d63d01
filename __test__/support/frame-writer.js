'use strict';

// Frames as the core lays them out (docs/design/boundary.md), written from the rows that pg
// delivers, so that decoding can be tested on its own against what pg decodes. It shares no code
// with lib/decode.

const SLOTS = { 21: 1, 23: 1, 26: 1, 700: 1, 701: 1, 16: 2, 1184: 3, 1114: 4, 1082: 4 };
const NULL_HIGH = 0x7ff80001;
const TEXT_HIGH = 0x7ff80002;
const NOT_ASCII = 0x40000000;
const ROWS = 2;

// Records do not begin at the start of a frame; this much stands before them.
const BEFORE = 40;

/** The columns of a SHAPE record for the fields of a result of pg. */
function columnsOf(fields) {
  return fields.map((field) => ({
    ...field,
    slot: field.format === 'binary' ? 5 : SLOTS[field.dataTypeID] || 0,
  }));
}

/**
 * A frame with one ROWS record.
 * @param columns as `columnsOf` gives them
 * @param rows arrays of strings, Buffers (of binary columns) or nulls
 * @param short whether raw is flagged as short ASCII
 * @returns {{ frame: { bytes: Buffer, words: Uint32Array, doubles: Float64Array }, word: number }}
 */
function rowsFrame(columns, rows, short) {
  const fields = rows.flat().map((value) => (value === null ? null : Buffer.from(value)));
  const rawLength = fields.reduce((sum, bytes) => sum + 4 + (bytes === null ? 0 : bytes.length), 0);
  const slots = BEFORE + 24;
  const rawStart = slots + fields.length * 8;
  const end = (rawStart + rawLength + 7) & ~7;
  const view = new DataView(new ArrayBuffer(end));
  view.setUint32(BEFORE, end - BEFORE, true);
  view.setUint32(BEFORE + 4, ROWS | ((short ? 1 : 0) << 8), true);
  view.setUint32(BEFORE + 8, 1, true);
  view.setUint32(BEFORE + 12, 1, true);
  view.setUint32(BEFORE + 16, rows.length, true);
  view.setUint32(BEFORE + 20, rawLength, true);
  let at = rawStart;
  fields.forEach((bytes, i) => {
    view.setInt32(at, bytes === null ? -1 : bytes.length, false);
    at += 4;
    if (bytes !== null) new Uint8Array(view.buffer).set(bytes, at);
    writeSlot(view, slots + i * 8, columns[i % columns.length], bytes, at - rawStart);
    at += bytes === null ? 0 : bytes.length;
  });
  const memory = view.buffer;
  const frame = {
    bytes: Buffer.from(memory),
    words: new Uint32Array(memory),
    doubles: new Float64Array(memory),
  };
  return { frame, word: BEFORE / 4 };
}

function writeSlot(view, at, { slot, dataTypeID }, bytes, offset) {
  const words = (low, high) => {
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high, true);
  };
  if (slot === 0 || slot === 5) {
    if (bytes === null) words(0, 0xffffffff);
    else words(offset, (bytes.length | (bytes.some((byte) => byte > 127) ? NOT_ASCII : 0)) >>> 0);
    return;
  }
  if (bytes === null) return words(0, NULL_HIGH);
  const number = numberOf(slot, bytes.toString(), REALS.has(dataTypeID));
  if (number === undefined) words(offset, TEXT_HIGH);
  else view.setFloat64(at, number, true);
}

const PLAIN =
  /^(\d{4,6})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?: ([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,6}))?)?([+-](?:0\d|1[0-5])(?::[0-5]\d){0,2})?$/;

const REALS = new Set([700, 701]);
const PLAIN_REAL = /^-?\d{1,15}(\.\d{1,15})?$/;
const PLAIN_INTEGER = /^-?\d{1,15}$/;

// undefined: not in the plain form
function numberOf(slot, text, isReal) {
  if (slot === 1) return (isReal ? PLAIN_REAL : PLAIN_INTEGER).test(text) ? Number(text) : undefined;
  if (slot === 2) return { t: 1, f: 0 }[text];
  const match = PLAIN.exec(text);
  // An instant tells its zone, a local time has none.
  if (match === null || (slot === 3) !== (match[8] !== undefined)) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part || 0));
  const ms = Number((match[7] || '').padEnd(3, '0').slice(0, 3));
  if (slot === 4) {
    if (year > 100000) return undefined;
    return ((((year * 16 + month) * 32 + day) * 32 + hour) * 64 + minute) * 64 * 1024 + second * 1024 + ms;
  }
  const utc = new Date(0);
  utc.setUTCFullYear(year, month - 1, day);
  utc.setUTCHours(hour, minute, second, ms);
  const [hours, minutes, seconds] = match[8].slice(1).split(':').concat(0, 0).map(Number);
  const offset = (hours * 3600 + minutes * 60 + seconds) * 1000;
  const time = utc.getTime() - (match[8][0] === '-' ? -offset : offset);
  return Number.isNaN(time) ? undefined : time;
}

module.exports = { columnsOf, rowsFrame };
