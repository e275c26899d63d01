'use strict';

// pg's Connection: writes the messages of the protocol and emits those of the server under pg's names. Made
// by the user it has a socket of its own and knows nothing of the core; nobody logs in for it. The
// connection of a client is a VirtualConnection.

const net = require('node:net');
const { EventEmitter } = require('node:events');
const { parse, serialize } = require('pg-protocol');
const { SECRETS_OF_TLS } = require('./config/secrets');
const { DatabaseError } = require('./errors');
const streams = require('./stream');

const FLUSH = serialize.flush();
const SYNC = serialize.sync();
const END = serialize.end();
const FAREWELLS = new Set(['ECONNRESET', 'EPIPE']);

class Connection extends EventEmitter {
  /**
   * @param config `stream` (default: a new socket; a function is called with the config), `ssl`,
   *   `sslNegotiation`, `keepAlive`, `keepAliveInitialDelayMillis`
   */
  constructor(config) {
    super();
    config = config || {};
    this.stream = this._streamOf(config);
    this._keepAlive = config.keepAlive;
    this._keepAliveInitialDelayMillis = config.keepAliveInitialDelayMillis;
    this.parsedStatements = {};
    this.submittedNamedStatements = {};
    this.ssl = config.ssl || false;
    this.sslNegotiation = config.sslNegotiation || 'postgres';
    this._connecting = false;
    this._ending = false;
  }

  _streamOf(config) {
    const stream = config.stream || streams.getStream();
    return typeof stream === 'function' ? stream(config) : stream;
  }

  /** Opens the stream; `connect`, `sslconnect`, `error` and `end` tell how it goes. */
  connect(port, host) {
    const { stream } = this;
    this._connecting = true;
    stream.setNoDelay(true);
    stream.connect(port, host);
    stream.once('connect', () => {
      if (this._keepAlive) stream.setKeepAlive(true, this._keepAliveInitialDelayMillis);
      this.emit('connect');
    });
    stream.on('error', (error) => this._report(error));
    stream.on('close', () => this.emit('end'));
    if (!this.ssl) this.attachListeners(stream);
    else if (this.sslNegotiation === 'direct') stream.once('connect', () => this.upgradeToSSL(host));
    else stream.once('data', (answer) => this._encrypt(answer, host));
  }

  // Who closes the connection need not hear that it is closed.
  _report(error) {
    if (this._ending && FAREWELLS.has(error.code)) return;
    this.emit('error', error);
  }

  _encrypt(answer, host) {
    if (answer.toString('latin1') === 'S') {
      this.upgradeToSSL(host);
      return;
    }
    this.stream.end();
    const refused = answer.toString('latin1') === 'N';
    this.emit(
      'error',
      new Error(
        refused
          ? 'The server does not support SSL connections'
          : 'There was an error establishing an SSL connection',
      ),
    );
  }

  upgradeToSSL(host) {
    const { ssl } = this;
    // Node checks the certificate against `servername`, which cannot be an address, else against `host`.
    const options = { host, ...(typeof ssl === 'object' && ssl), socket: this.stream };
    // What clients hide from enumeration is not copied.
    for (const name of SECRETS_OF_TLS) if (ssl[name] !== undefined) options[name] = ssl[name];
    if (this.sslNegotiation === 'direct') options.ALPNProtocols = ['postgresql'];
    if (host !== undefined && net.isIP(host) === 0) options.servername = host;
    try {
      this.stream = streams.getSecureStream(options);
    } catch (error) {
      this.emit('error', error);
      return;
    }
    this.attachListeners(this.stream);
    this.stream.on('error', (error) => this._report(error));
    this.emit('sslconnect');
  }

  /** From here on what arrives on `stream` is told message by message. */
  attachListeners(stream) {
    parse(stream, (message) => {
      const isError = message.name === 'error';
      if (isError) Object.setPrototypeOf(message, DatabaseError.prototype);
      this.emit('message', message);
      this.emit(isError ? 'errorMessage' : message.name, message);
    });
  }

  _send(bytes) {
    return this.stream.writable ? this.stream.write(bytes) : false;
  }

  // Called for every message that the server answers with ReadyForQuery.
  _expectReady(sync) {}

  // Called for every message that runs a portal.
  _expectRows() {}

  requestSsl() {
    this.stream.write(serialize.requestSsl());
  }

  startup(config) {
    this.stream.write(serialize.startup(config));
  }

  cancel(processID, secretKey) {
    this._send(serialize.cancel(processID, secretKey));
  }

  password(password) {
    this._send(serialize.password(password));
  }

  sendSASLInitialResponseMessage(mechanism, initialResponse) {
    this._send(serialize.sendSASLInitialResponseMessage(mechanism, initialResponse));
  }

  sendSCRAMClientFinalMessage(additionalData) {
    this._send(serialize.sendSCRAMClientFinalMessage(additionalData));
  }

  query(text) {
    this._expectReady(false);
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
    this._expectRows();
    this._send(serialize.execute(config));
  }

  close(target) {
    this._send(serialize.close(target));
  }

  flush() {
    this._send(FLUSH);
  }

  sync() {
    this._expectReady(true);
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

  /** Says goodbye and closes the stream. */
  end() {
    this._ending = true;
    if (this._connecting && this.stream.writable) this.stream.write(END, () => this.stream.end());
    else this.stream.end();
  }

  ref() {
    this.stream.ref();
  }

  unref() {
    this.stream.unref();
  }
}

module.exports = Connection;
