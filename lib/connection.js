'use strict';

// `client.connection`: what libraries look for behind a client, as far as the core can tell it. It
// emits `parameterStatus`, `notice`, `notification`, `error` and `end`; bytes never pass through it.

const { EventEmitter } = require('node:events');

/** Stands for the socket, which belongs to the core: it can be cut, and referenced or not. */
class Stream extends EventEmitter {
  constructor(connection) {
    super();
    Object.defineProperty(this, '_connection', { value: connection });
    this.destroyed = false;
  }

  get writable() {
    return !this.destroyed;
  }

  /** Cuts the connection; the client sees it as lost. */
  destroy() {
    if (this.destroyed) return this;
    this.destroyed = true;
    const client = this._connection._client;
    if (client) client._sever();
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

class Connection extends EventEmitter {
  constructor(config) {
    super();
    config = config || {};
    Object.defineProperty(this, '_client', { value: undefined, writable: true });
    this.stream = new Stream(this);
    this.ssl = config.ssl || false;
    this.sslNegotiation = config.sslNegotiation || 'postgres';
    this.parsedStatements = {};
    this.submittedNamedStatements = {};
  }

  ref() {
    if (this._client) this._client.ref();
  }

  unref() {
    if (this._client) this._client.unref();
  }
}

module.exports = Connection;
