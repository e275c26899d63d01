'use strict';

// `client.connection`: what libraries look for behind a client. It emits the messages of the login (of a
// client that stands alone), `parameterStatus`, `notice`, `notification`, `errorMessage`, `readyForQuery`,
// `error` and `end`; while a submittable has the connection also every other message of the server under
// pg's names. Its methods write messages.

const { EventEmitter } = require('node:events');
const { parse, serialize } = require('pg-protocol');
const WireStream = require('./wire-stream');
const { DatabaseError } = require('./errors');
const { rethrow } = require('./rejection');
const { transmit } = require('./submittable');

const FLUSH = serialize.flush();
const SYNC = serialize.sync();

class Connection extends EventEmitter {
  constructor(config) {
    super();
    config = config || {};
    Object.defineProperty(this, '_client', { value: undefined, writable: true });
    Object.defineProperty(this, '_stream', { value: null, writable: true });
    // ReadyForQuery messages asked for outside of a session.
    Object.defineProperty(this, '_owed', { value: 0, writable: true });
    this.ssl = config.ssl || false;
    this.sslNegotiation = config.sslNegotiation || 'postgres';
    this.parsedStatements = {};
    this.submittedNamedStatements = {};
  }

  /** The stand-in for the socket, made when somebody wants it. */
  get stream() {
    if (this._stream === null) {
      this._stream = new WireStream(this);
      this._stream.on('error', (error) => this.tell('error', error));
      if (this._client && this._client._ended) this._stream.gone();
      else parse(this._stream, (message) => this._take(message));
    }
    return this._stream;
  }

  set stream(stream) {
    this._stream = stream;
  }

  _take(message) {
    try {
      if (message.name === 'error') Object.setPrototypeOf(message, DatabaseError.prototype);
      this.tell('message', message);
      const session = this._client._session;
      if (session !== null) session.take(message);
      this.tell(eventOf(message), message);
    } catch (error) {
      rethrow(error);
    }
  }

  /** Emits to those who listen. */
  tell(event, message) {
    if (this.listenerCount(event) > 0) this.emit(event, message);
  }

  /** A message of the server that the core has read. */
  relay(message) {
    this.tell('message', message);
    this.tell(eventOf(message), message);
  }

  /** Tells the end of the login, or of a query that the core has run. */
  ready(status) {
    this.relay({ name: 'readyForQuery', length: 5, status });
  }

  /** Writes to the core; returns the bytes that have not left. */
  _transmit(bytes) {
    return this._client ? transmit(this._client, bytes) : 0;
  }

  _pause(on) {
    const client = this._client;
    if (client && client._session !== null) client._native.pause(client._link.id, client._session.id, on);
  }

  _sever() {
    if (this._client) this._client._sever();
  }

  // From the client: the connection is closed.
  _gone() {
    if (this._stream !== null) this._stream.gone();
  }

  _owe(sync) {
    const session = this._client && this._client._session;
    if (session) session.owe(sync);
    else this._owed++;
  }

  _send(buffer) {
    return this.stream.writable ? this.stream.write(buffer) : false;
  }

  query(text) {
    this._owe(false);
    this._send(serialize.query(text));
  }

  parse(query) {
    this._send(serialize.parse(query));
  }

  bind(config) {
    this._send(serialize.bind(config));
  }

  describe(target) {
    this._send(serialize.describe(target));
  }

  execute(config) {
    this._send(serialize.execute(config));
  }

  close(target) {
    this._send(serialize.close(target));
  }

  flush() {
    this._send(FLUSH);
  }

  sync() {
    this._owe(true);
    this._send(SYNC);
  }

  sendCopyFromChunk(chunk) {
    this._send(serialize.copyData(chunk));
  }

  endCopyFrom() {
    this._send(serialize.copyDone());
  }

  sendCopyFail(message) {
    this._send(serialize.copyFail(message));
  }

  /** Closes the connection; the client did not ask for it, so it takes it for a loss. */
  end() {
    this._sever();
  }

  ref() {
    if (this._client) this._client.ref();
  }

  unref() {
    if (this._client) this._client.unref();
  }
}

function eventOf({ name }) {
  return name === 'error' ? 'errorMessage' : name;
}

module.exports = Connection;
