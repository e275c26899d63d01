'use strict';

// Virtual connection: `client.connection`, for libraries that look behind a client. It emits the messages of the login
// (of a client that stands alone), `parameterStatus`, `notice`, `notification`, `errorMessage`, `readyForQuery`, `error`
// and `end`; in raw mode also every other message of the server, under pg's names. Its methods write messages. The
// real socket belongs to the core.

const { parse } = require('pg-protocol');
const Connection = require('../connection');
const VirtualSocket = require('./virtual-socket');
const { DatabaseError } = require('../errors');
const { nextTick } = require('../async/timers');
const { throwAsync } = require('../async/uncaught');
const { sever } = require('./connection-loss');
const { transmit } = require('./submittable');

/**
 * The fields that are not enumerable.
 * @typedef {object} HiddenFields
 * @property {import('../client')} _client
 * @property {VirtualSocket|null} _stream
 * @property {number} _readyExpected
 * @property {boolean} _awaitsReady
 */

const Base = /** @type {typeof Connection & (new (...args: any[]) => HiddenFields)} */ (Connection);

class VirtualConnection extends Base {
  constructor(client, config) {
    super(config);
    Object.defineProperty(this, '_client', { value: client });
    // Number of ReadyForQuery messages asked for outside of a raw session.
    Object.defineProperty(this, '_readyExpected', { value: 0, writable: true });
    // Whether a cursor that has closed its portal may wait for ReadyForQuery.
    Object.defineProperty(this, '_awaitsReady', { value: false, writable: true });
  }

  _streamOf() {
    return null;
  }

  /** The virtual socket, made at first use. */
  // @ts-expect-error a field of Connection
  get stream() {
    if (this._stream === null) {
      this._stream = new VirtualSocket(this);
      this._stream.on('error', (error) => this.tell('error', error));
      if (this._client._ended) this._stream.gone();
      else this._parse(this._stream);
    }
    return this._stream;
  }

  // The core hands on whole messages only. A message that the parser cannot read ends the connection, not the process.
  _parse(stream) {
    let read;
    const source = { on: (event, listener) => event === 'data' && (read = listener) };
    parse(/** @type {any} */ (source), (message) => this._take(message));
    const listener = (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        stream.removeListener('data', listener);
        this.emit('error', error);
      }
    };
    stream.on('data', listener);
  }

  set stream(stream) {
    Object.defineProperty(this, '_stream', { value: stream, writable: true, configurable: true });
  }

  _take(message) {
    try {
      if (message.name === 'error') Object.setPrototypeOf(message, DatabaseError.prototype);
      this.tell('message', message);
      const session = this._client._rawSession;
      if (session !== null) session.take(message);
      this.tell(eventOf(message), message);
    } catch (error) {
      throwAsync(error);
    }
  }

  /** Emits where there are listeners. */
  tell(event, message) {
    if (event === 'readyForQuery') this._awaitsReady = false;
    if (this.listenerCount(event) > 0) this.emit(event, message);
  }

  /** Emits a message of the server that the core has read. */
  relay(message) {
    this.tell('message', message);
    this.tell(eventOf(message), message);
  }

  /** Emits the end of the login, or of a query that the core has run. */
  ready(status) {
    this.relay({ name: 'readyForQuery', length: 5, status });
  }

  /** Writes to the core; returns the number of bytes that have not left. */
  _transmit(bytes) {
    return transmit(this._client, bytes);
  }

  _pause(on) {
    const client = this._client;
    if (client._rawSession !== null) client._native.pauseRaw(client._handle.id, client._rawSession.id, on);
  }

  _sever() {
    sever(this._client);
  }

  // From the client: the connection is closed.
  _gone() {
    if (this._stream !== null) this._stream.gone();
    this._readyWithoutServer();
  }

  /** Closes a portal or statement; one of a connection that is lost or given back is closed already. */
  close(target) {
    this._awaitsReady = true;
    const { _handle: handle } = this._client;
    if (handle !== null && handle.open && handle.leased) super.close(target);
    else this._readyWithoutServer();
  }

  // Nothing more comes from the server: a cursor that waits for ReadyForQuery, to have closed its portal, gets it here.
  _readyWithoutServer() {
    if (!this._awaitsReady) return;
    nextTick(() => {
      if (this._awaitsReady) this.tell('readyForQuery', { name: 'readyForQuery', length: 5, status: 'I' });
    });
  }

  _expectReady(sync) {
    const session = this._client._rawSession;
    if (session) session.expectReady(sync);
    else this._readyExpected++;
  }

  _expectRows() {
    const session = this._client._rawSession;
    if (session !== null) session.executing++;
  }

  /** Closes the connection; the client did not ask for it, so it takes it for a loss. */
  end() {
    this._sever();
  }

  ref() {
    this._client.ref();
  }

  unref() {
    this._client.unref();
  }
}

function eventOf({ name }) {
  return name === 'error' ? 'errorMessage' : name;
}

// Libraries that ask for the class find pg's Connection.
Object.defineProperty(VirtualConnection, 'name', { value: 'Connection' });

module.exports = VirtualConnection;
