'use strict';

// Finds the message boundaries in one direction of a PostgreSQL connection without looking into
// the messages. The first packet of a client carries no type byte; it and its like are named
// `startup`, `ssl`, `gssenc` and `cancel` here.

const UNTYPED = new Map([
  [80877102, 'cancel'],
  [80877103, 'ssl'],
  [80877104, 'gssenc'],
]);

class MessageSplitter {
  #untyped;
  #header = Buffer.alloc(0);
  #rest = 0;
  #type = null;

  /** @param {boolean} fromClient whether the stream begins with an untyped packet */
  constructor(fromClient) {
    this.#untyped = fromClient;
  }

  /**
   * The marks in `chunk`, in order: `{ at: 'begin' | 'end', type, offset }`. `begin` comes with the
   * offset of the message's first byte (0 when an earlier chunk brought it), `end` with the offset
   * after its last one.
   */
  push(chunk) {
    const marks = [];
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#rest === 0) offset = this.#readHeader(chunk, offset, marks);
      if (this.#rest > 0) {
        const taken = Math.min(this.#rest, chunk.length - offset);
        offset += taken;
        this.#rest -= taken;
        if (taken > 0 && this.#rest === 0) this.#end(marks, offset);
      }
    }
    return marks;
  }

  #readHeader(chunk, offset, marks) {
    const size = this.#untyped ? 8 : 5;
    const before = this.#header.length;
    const taken = Math.min(size - before, chunk.length - offset);
    this.#header = Buffer.concat([this.#header, chunk.subarray(offset, offset + taken)]);
    if (!this.#untyped && before === 0) {
      this.#type = String.fromCharCode(this.#header[0]);
      marks.push({ at: 'begin', type: this.#type, offset });
    }
    if (this.#header.length < size) return offset + taken;
    if (this.#untyped) {
      this.#type = UNTYPED.get(this.#header.readUInt32BE(4)) ?? 'startup';
      marks.push({ at: 'begin', type: this.#type, offset: before === 0 ? offset : 0 });
    }
    const length = this.#header.readUInt32BE(this.#untyped ? 0 : 1);
    this.#rest = Math.max(0, length - (this.#untyped ? 8 : 4));
    this.#header = Buffer.alloc(0);
    if (this.#rest === 0) this.#end(marks, offset + taken);
    return offset + taken;
  }

  #end(marks, offset) {
    // After a refused request for encryption the client sends its startup packet.
    if (this.#type === 'startup') this.#untyped = false;
    marks.push({ at: 'end', type: this.#type, offset });
  }
}

module.exports = { MessageSplitter };
