'use strict';

// Frame: memory that records are copied into, and its views. Positions are words from its start; a payload begins
// directly after its record's header.

const { RECORD } = require('./layout');

const HEADER_BYTES = RECORD.HEADER * 4;

/** @typedef {(start: number, end: number) => string} SliceText */

/** A payload cannot be read: there is no memory for it, or it is not what its record says. */
class UnreadableRecord extends Error {
  constructor(cause) {
    super(`an answer of the server could not be read: ${cause.message}`, { cause });
    this.name = 'UnreadableRecord';
  }
}

class Frame {
  constructor(bytes) {
    const memory = new ArrayBuffer(bytes);
    /** @type {Buffer & { latin1Slice: SliceText, utf8Slice: SliceText }} */
    this.bytes = /** @type {any} */ (Buffer.from(memory));
    this.words = new Uint32Array(memory);
    this.doubles = new Float64Array(memory);
  }

  /** ASCII payload of the record at `word`. */
  text(word, length) {
    const start = word * 4 + HEADER_BYTES;
    return this.bytes.latin1Slice(start, start + length);
  }

  /** Bytes of its payload, in memory of their own. */
  copy(word, length) {
    const start = word * 4 + HEADER_BYTES;
    try {
      return Buffer.from(this.bytes.subarray(start, start + length));
    } catch (error) {
      throw new UnreadableRecord(error);
    }
  }

  /** JSON of its payload. */
  json(word, length) {
    const start = word * 4 + HEADER_BYTES;
    try {
      return JSON.parse(this.bytes.utf8Slice(start, start + length));
    } catch (error) {
      throw new UnreadableRecord(error);
    }
  }
}

module.exports = { Frame, UnreadableRecord };
