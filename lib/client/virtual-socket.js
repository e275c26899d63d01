'use strict';

// Virtual socket: `client.connection.stream`, in place of the real one, which belongs to the core. Bytes pass through
// it in raw mode; outside of raw mode there is nothing to read. Writes of one turn of the event loop leave together, so
// that many small chunks cost one call into the core.
//
// Back-pressure goes both ways: a reader that is behind stops the core's reading, and `write` answers
// false until the core has sent what it holds. The reader gets no more at once than from a socket.

const { Duplex } = require('node:stream');
const { nextTick, setImmediate } = require('../async/timers');

const HIGH_WATER = 256 * 1024;
const FLUSH_BYTES = 64 * 1024;
// Largest chunk, as of a socket.
const CHUNK_BYTES = 64 * 1024;

/** @typedef {{ _connection: import('./virtual-connection') }} HiddenFields */

const Base = /** @type {typeof Duplex & (new (...args: any[]) => HiddenFields)} */ (Duplex);

class VirtualSocket extends Base {
  constructor(connection) {
    super({ readableHighWaterMark: CHUNK_BYTES, writableHighWaterMark: HIGH_WATER, emitClose: true });
    Object.defineProperty(this, '_connection', { value: connection });
    // Bytes of the core that the reader has not asked for.
    this._backlog = [];
    this._backlogBytes = 0;
    this._wantsBytes = false;
    this._isReadingPaused = false;
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
    this._backlogBytes += bytes.length;
    this._serve();
    if (this._backlogBytes > HIGH_WATER) this._pauseReading(true);
  }

  // As a socket, never in the same turn: else a `read` would return what it has just asked for.
  _read() {
    this._wantsBytes = true;
    if (this._backlogBytes > 0) setImmediate(() => this._serve());
    else this._pauseReading(false);
  }

  _serve() {
    while (this._wantsBytes && this._backlogBytes > 0) {
      let [bytes] = this._backlog;
      if (bytes.length > CHUNK_BYTES) {
        this._backlog[0] = bytes.subarray(CHUNK_BYTES);
        bytes = bytes.subarray(0, CHUNK_BYTES);
      } else {
        this._backlog.shift();
      }
      this._backlogBytes -= bytes.length;
      this._wantsBytes = false;
      if (this.push(bytes)) this._wantsBytes = true;
    }
    if (this._backlogBytes === 0) this._pauseReading(false);
  }

  _pauseReading(on) {
    if (this._isReadingPaused === on) return;
    this._isReadingPaused = on;
    this._connection._pause(on);
  }

  _write(chunk, encoding, callback) {
    this._chunks.push(chunk);
    this._bytes += chunk.length;
    if (this._bytes >= FLUSH_BYTES) {
      this.flush();
    } else if (!this._flushing) {
      this._flushing = true;
      nextTick(() => {
        this._flushing = false;
        this.flush();
      });
    }
    if (this._congested) this._waiting = callback;
    else callback();
  }

  /** Whether there are writes that the core does not have yet. */
  get isPending() {
    return this._bytes > 0;
  }

  /** Hands the writes to the core. */
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

  /** The raw session is over; the next one begins anew. */
  reset() {
    this._isReadingPaused = false;
    this.drained();
  }

  _final(callback) {
    this._connection._sever();
    callback();
  }

  /** Severs the connection; the client takes that for a loss. */
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
    nextTick(() => this.emit('end'));
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

  /** True of a connection over TLS: a client that asks for TLS gets it, or no connection. */
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

module.exports = VirtualSocket;
