'use strict';

// Request of the core, packed into a buffer (docs/design/boundary.md, "A request") that is used again for
// the next one: the core copies it before its call returns.
//
// Converting a value may run code of the application (`toPostgres`, `toJSON`), which may send a query of its
// own. So the buffer is taken at the start and put back at the end; a request packed in between finds none and
// makes its own.

const { TextEncoder } = require('node:util');
const { REQUEST, REQUEST_FLAGS, RETRY_OPTIONS } = require('../native/layout');
const { toParameter } = require('./prepare-value');

const { FLAGS, TEXT_LENGTH, NAME_LENGTH, PARAMETERS, QUERY_TIMEOUT, FETCH } = REQUEST;
const HEADER = REQUEST.HEADER * 4;
const FIRST_SIZE = 16 * 1024;
const KEPT_SIZE = 1024 * 1024;
// The server takes no message of 1 GiB, and ends the connection that sends one. What the protocol adds to
// this layout is less than 128 KiB.
const MAX_SIZE = 0x3ffe0000;
const MAX_PARAMETERS = 65535; // the count in a Bind message has 16 bits

// Measured: up to about this many characters a loop beats the call into native code.
const LOOPED_CHARACTERS = 20;
// Up to this length space is reserved for the worst case; beyond, the bytes are counted first.
const UNCOUNTED_CHARACTERS = 4096;
// TextEncoder is faster than Buffer for short text but needs a view per position: only the
// statement's text, which always stands at the same one, uses it.
const ENCODED_CHARACTERS = 256;

const encoder = new TextEncoder();
// The true length of a view: its property may be anything.
const byteLengthOf = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  'byteLength',
).get;

class Scratch {
  constructor(size) {
    this.use(Buffer.allocUnsafeSlow(size));
  }

  use(bytes) {
    this.bytes = bytes;
    this.words = new Uint32Array(bytes.buffer, 0, REQUEST.HEADER);
    this.textArea = bytes.subarray(HEADER);
  }

  // Makes room for bytes up to `end`; what was written stays.
  reserve(end) {
    if (end <= this.bytes.length) return;
    if (end > MAX_SIZE)
      throw new Error(`a query with its parameters must not be larger than ${MAX_SIZE} bytes`);
    const bytes = Buffer.allocUnsafeSlow(Math.min(MAX_SIZE, Math.max(end, this.bytes.length * 2)));
    this.bytes.copy(bytes);
    this.use(bytes);
  }
}

let idle = new Scratch(FIRST_SIZE);
const packed = { buffer: idle.bytes, length: 0 };

// `values` is an array or absent; `rows` and `queryTimeout` are 0 where there is no limit.
// Throws what a conversion throws, and errors of its own for what the protocol cannot carry.
function pack({ text, name, values, flags, queryTimeout, rows, retryOptions, maxBytes }) {
  const scratch = idle === null ? new Scratch(FIRST_SIZE) : idle;
  idle = null;
  try {
    const textEnd = writeStatement(scratch, HEADER, text);
    const nameEnd = writeStatement(scratch, textEnd, name);
    const optionsEnd =
      retryOptions === undefined ? nameEnd : writeBytes(scratch, nameEnd, bytesOf(retryOptions));
    const count = values ? values.length : 0;
    let end = count === 0 ? optionsEnd : writeParameters(scratch, optionsEnd, values, count);
    if (maxBytes > 0) {
      end = writeLimit(scratch, end, maxBytes);
      flags |= REQUEST_FLAGS.LIMITED;
    }
    const words = scratch.words;
    words[FLAGS] = retryOptions === undefined ? flags : flags | REQUEST_FLAGS.RETRY_OPTIONS;
    words[TEXT_LENGTH] = textEnd - HEADER;
    words[NAME_LENGTH] = nameEnd - textEnd;
    words[PARAMETERS] = count;
    words[QUERY_TIMEOUT] = queryTimeout;
    words[FETCH] = rows;
    // A large buffer is not kept, so that it is freed with its request.
    if (scratch.bytes.length > KEPT_SIZE) return { buffer: scratch.bytes, length: end };
    packed.buffer = scratch.bytes;
    packed.length = end;
    return packed;
  } finally {
    if (scratch.bytes.length <= KEPT_SIZE) idle = scratch;
  }
}

// The text or the name of a statement. Both end with a zero byte on the wire, so neither can
// contain one.
function writeStatement(scratch, at, text) {
  if (!text) return at;
  if (typeof text !== 'string') throw new TypeError('the text and the name of a query must be strings');
  if (text.includes('\0')) throw new Error('invalid byte sequence: a statement must not contain a zero byte');
  if (at === HEADER && text.length <= ENCODED_CHARACTERS) {
    scratch.reserve(at + text.length * 3);
    return at + encoder.encodeInto(text, scratch.textArea).written;
  }
  return writeText(scratch, at, text);
}

function writeBytes(scratch, at, bytes) {
  scratch.reserve(at + bytes.length);
  scratch.bytes.set(bytes, at);
  return at + bytes.length;
}

function writeText(scratch, at, text) {
  const length = text.length;
  if (length <= LOOPED_CHARACTERS) {
    scratch.reserve(at + length * 3);
    const bytes = scratch.bytes;
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      bytes[at + i] = code;
    }
    if (i === length) return at + length;
  } else {
    scratch.reserve(at + (length <= UNCOUNTED_CHARACTERS ? length * 3 : Buffer.byteLength(text)));
  }
  return at + scratch.bytes.utf8Write(text, at);
}

// The retry options as 32-bit words, then the codes.
function bytesOf({ deadline, retryAttempts, retryDelay, retryOn }) {
  const { DEADLINE, ATTEMPTS, BASE_DELAY, CODES, CODE_BYTES, UNSET } = RETRY_OPTIONS;
  const codes = retryOn ?? [];
  const codesStart = RETRY_OPTIONS.HEADER * 4;
  const bytes = Buffer.alloc(codesStart + codes.length * CODE_BYTES);
  const write = (word, value) => bytes.writeUInt32LE(value == null ? UNSET : Math.round(value), word * 4);
  write(DEADLINE, deadline === 0 ? undefined : deadline);
  write(ATTEMPTS, retryAttempts);
  write(BASE_DELAY, retryDelay);
  write(CODES, codes.length);
  codes.forEach((code, index) => bytes.write(code, codesStart + index * CODE_BYTES, 'latin1'));
  return bytes;
}

// First the format of every parameter, then length and bytes of each.
function writeParameters(scratch, start, values, count) {
  // The `length` of a Proxy may be anything.
  if (!Number.isInteger(count) || count < 0) throw new TypeError('Query values must be an array');
  if (count > MAX_PARAMETERS) {
    throw new Error(`a query takes at most ${MAX_PARAMETERS} parameters, not ${count}`);
  }
  let at = start + count;
  scratch.reserve(at);
  for (let i = 0; i < count; i++) {
    const given = values[i];
    const value = typeof given === 'string' ? given : toParameter(given);
    let format = 0;
    let end = at + 4;
    let length = -1;
    if (typeof value === 'string') {
      end = writeText(scratch, end, value);
      length = end - at - 4;
    } else if (value !== null && value !== undefined) {
      // `toString` of an application's object may return anything; this is where it is refused.
      Buffer.byteLength(value);
      length = byteLengthOf.call(value);
      format = 1;
      end += length;
      scratch.reserve(end);
      scratch.bytes.set(value, at + 4);
    } else {
      scratch.reserve(end);
    }
    writeLength(scratch.bytes, at, length);
    scratch.bytes[start + i] = format;
    at = end;
  }
  return at;
}

// The limit of the bytes of all rows comes last.
function writeLimit(scratch, at, maxBytes) {
  scratch.reserve(at + 4);
  return scratch.bytes.writeUInt32LE(Math.min(Math.floor(maxBytes), 0xffffffff), at);
}

function writeLength(bytes, at, length) {
  bytes[at] = length >>> 24;
  bytes[at + 1] = length >>> 16;
  bytes[at + 2] = length >>> 8;
  bytes[at + 3] = length;
}

module.exports = { pack };
