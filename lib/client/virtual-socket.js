'use strict';

// `client.connection.stream`: stands for the socket, which belongs to the core. Bytes pass through it
// while a submittable has the connection in raw mode; outside of it nothing is there to be read. What
// is written within one turn leaves together, so that many small chunks cost one call into the core.
//
// Back-pressure goes both ways: a reader that is behind stops the core's reading, and `write` answers
// false until the core has sent what it holds. The reader gets no more at once than from a socket.

const { Duplex } = require('node:stream');

const HIGH_WATER = 256 * 1024;
const FLUSH_BYTES = 64 * 1024;
// What a socket hands over at once.
const CHUNK_BYTES = 64 * 1024;

class WireStream extends Duplex {
  constructor(connection) {
    super({ readableHighWaterMark: CHUNK_BYTES, writableHighWaterMark: HIGH_WATER, emitClose: true });
    Object.defineProperty(this, '_connection', { value: connection });
    // What the core has brought and the reader has not asked for.
    this._backlog = [];
    this._behind = 0;
    this._hungry = false;
    this._held = false;
    this._chunks = [];
    this._bytes = 0;
    this._flushing = false;
    this._congested = false;
    this._waiting = null;
  }

  /** Bytes of the server. */
  feed(bytes) {
    if (this.destroyed) return;
    this._backlog.push(bytes);
    this._behind += bytes.length;
    this._serve();
    if (this._behind > HIGH_WATER) this._hold(true);
  }

  // Never at once, as a socket: else a `read` would take along what it has just asked for.
  _read() {
    this._hungry = true;
    if (this._behind > 0) setImmediate(() => this._serve());
    else this._hold(false);
  }

  _serve() {
    while (this._hungry && this._behind > 0) {
      let [bytes] = this._backlog;
      if (bytes.length > CHUNK_BYTES) {
        this._backlog[0] = bytes.subarray(CHUNK_BYTES);
        bytes = bytes.subarray(0, CHUNK_BYTES);
      } else {
        this._backlog.shift();
      }
      this._behind -= bytes.length;
      this._hungry = false;
      if (this.push(bytes)) this._hungry = true;
    }
    if (this._behind === 0) this._hold(false);
  }

  _hold(on) {
    if (this._held === on) return;
    this._held = on;
    this._connection._pause(on);
  }

  _write(chunk, encoding, callback) {
    this._chunks.push(chunk);
    this._bytes += chunk.length;
    if (this._bytes >= FLUSH_BYTES) {
      this.flush();
    } else if (!this._flushing) {
      this._flushing = true;
      process.nextTick(() => {
        this._flushing = false;
        this.flush();
      });
    }
    if (this._congested) this._waiting = callback;
    else callback();
  }

  /** Whether something was written that the core does not have yet. */
  get isPending() {
    return this._bytes > 0;
  }

  /** Hands what was written to the core. */
  flush() {
    if (this._bytes === 0) return;
    const bytes = this._chunks.length === 1 ? this._chunks[0] : Buffer.concat(this._chunks, this._bytes);
    this._chunks = [];
    this._bytes = 0;
    if (this._connection._transmit(bytes) > HIGH_WATER) this._congested = true;
  }

  /** The core has sent everything. */
  drained() {
    this._congested = false;
    const callback = this._waiting;
    this._waiting = null;
    if (callback !== null) callback();
  }

  /** The session in which it was read is over; what follows begins anew. */
  reset() {
    this._held = false;
    this.drained();
  }

  _final(callback) {
    this._connection._sever();
    callback();
  }

  /** Cuts the connection; the client sees it as lost. */
  destroy() {
    if (!this.destroyed) {
      super.destroy();
      this._connection._sever();
    }
    return this;
  }

  /** The connection is gone. */
  gone() {
    if (this.destroyed) return;
    super.destroy();
    process.nextTick(() => this.emit('end'));
  }

  /** As of a socket: 'opening' until the client is let in, then 'open', in the end 'closed'. */
  get readyState() {
    if (this.destroyed) return 'closed';
    return this.connecting ? 'opening' : 'open';
  }

  get connecting() {
    const client = this._connection._client;
    return !this.destroyed && client !== undefined && client._connecting;
  }

  get pending() {
    const client = this._connection._client;
    return this.destroyed || client === undefined || !client._connected;
  }

  /** True of a connection over TLS: whoever asks for TLS gets it, or no connection. */
  get encrypted() {
    return !this.pending && this._connection._client.ssl ? true : undefined;
  }

  setTimeout() {
    return this;
  }

  setNoDelay() {
    return this;
  }

  setKeepAlive() {
    return this;
  }

  ref() {
    this._connection.ref();
    return this;
  }

  unref() {
    this._connection.unref();
    return this;
  }
}

module.exports = WireStream;
