'use strict';

// A socket of Node's over which the core speaks to a server: made by the application's `stream` option, or encrypted
// with TLS options that only Node's own TLS serves. Back-pressure is passed on in both directions.

const net = require('node:net');
const tls = require('node:tls');
const { SECRETS_OF_TLS } = require('../config/secrets');
const { callUserCode } = require('../async/uncaught');
const { withReason } = require('../errors');
const { REASONS } = require('./layout');

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

class NodeSocket {
  /**
   * @param native pool that dials, under the number `id`
   * @param place `{ host, port }`
   * @param client whose options and connection parameters say how to connect
   * @param keep keeps an error; returns what the core gets in its place
   */
  constructor(native, id, place, client, keep) {
    this.native = native;
    this.id = id;
    this.place = place;
    this.client = client;
    this.keep = keep;
    this.stream = null;
    // Whether DIAL is answered.
    this.isDialed = false;
  }

  open() {
    try {
      this.connect();
    } catch (error) {
      this.dialed(error);
    }
  }

  connect() {
    const { _options: options, connectionParameters: parameters } = this.client;
    const { host, port } = this.place;
    const given = options.stream || new net.Socket();
    const stream = typeof given === 'function' ? given(streamConfig(options, parameters)) : given;
    stream.on('error', (error) => this.dialed(error));
    stream.on('close', () => this.closed());
    this.stream = stream;
    const ready = () => {
      if (options.keepAlive && stream.setKeepAlive)
        stream.setKeepAlive(true, options.keepAliveInitialDelayMillis);
      this.negotiateTls(stream, parameters);
    };
    if (stream.setNoDelay) stream.setNoDelay(true);
    if (typeof stream.connect !== 'function') {
      ready();
      return;
    }
    stream.once('connect', ready);
    if (host.startsWith('/')) stream.connect(`${host}/.s.PGSQL.${port}`);
    else stream.connect(port, host);
  }

  // Asks the server for TLS, if that is wanted.
  negotiateTls(stream, { ssl, sslnegotiation }) {
    if (!ssl) this.connected(stream);
    else if (sslnegotiation === 'direct') this.startTls(stream, ssl, ['postgresql']);
    else {
      stream.once('data', (answer) => {
        if (answer.toString('latin1') === 'S') this.startTls(stream, ssl);
        else if (answer[0] === 0x4e) this.dialed(new Error('The server does not support SSL connections'));
        else this.dialed(new Error('There was an error establishing an SSL connection'));
      });
      stream.write(SSL_REQUEST);
    }
  }

  startTls(socket, ssl, ALPNProtocols) {
    try {
      const options = typeof ssl === 'object' ? { ...ssl } : {};
      // Secrets are not enumerable, so the spread has left them out.
      for (const name of SECRETS_OF_TLS) if (ssl[name] !== undefined) options[name] = ssl[name];
      if (ALPNProtocols) options.ALPNProtocols = ALPNProtocols;
      if (net.isIP(this.place.host) === 0) options.servername = this.place.host;
      const stream = tls.connect({ ...options, socket });
      this.stream = stream;
      stream.on('error', (error) => this.dialed(error));
      stream.on('close', () => this.closed());
      stream.once('secureConnect', () => this.connected(stream));
    } catch (error) {
      this.dialed(error);
    }
  }

  // The stream is connected, and encrypted if that is wanted.
  connected(stream) {
    stream.on('data', (bytes) => {
      this.guarded(() => this.native.socketData(this.id, bytes) || stream.pause());
    });
    stream.on('end', () => this.closed());
    // Requests and connections keep the process alive, not sockets.
    if (stream.unref) stream.unref();
    this.dialed();
  }

  /** Answers DIAL, once; a later error is the end of the stream. */
  dialed(error) {
    if (!this.isDialed) {
      this.isDialed = true;
      this.native.dialed(this.id, error === undefined ? null : this.keep(error));
      if (error !== undefined) this.close();
    } else if (error !== undefined) {
      this.closed();
    }
  }

  // From the stream: it has ended.
  closed() {
    if (this.isDialed) this.native.socketClosed(this.id);
    else this.dialed(withReason(new Error('Connection terminated unexpectedly'), REASONS.LOST));
  }

  /** From the bridge: bytes for the server. */
  write(bytes) {
    const { length } = bytes;
    this.guarded(() => this.stream.write(bytes, () => this.native.socketWritten(this.id, length)));
  }

  /** From the bridge: the core has room for bytes of the server. */
  resume() {
    this.guarded(() => this.stream.resume());
  }

  // A stream of the application's that lacks a method, or gives text instead of bytes, ends here.
  guarded(call) {
    try {
      call();
    } catch {
      this.closed();
      this.close();
    }
  }

  /** From the bridge: the core does not need the stream any longer. */
  close() {
    this.isDialed = true;
    const { stream } = this;
    if (stream === null) return;
    callUserCode(() => {
      stream.on('error', () => {});
      if (stream.destroy) stream.destroy();
      else if (stream.end) stream.end();
    });
  }
}

// The argument of a `stream` function, as under pg.
function streamConfig(options, parameters) {
  return {
    stream: options.stream,
    ssl: parameters.ssl,
    sslNegotiation: parameters.sslnegotiation,
    keepAlive: options.keepAlive || false,
    keepAliveInitialDelayMillis: options.keepAliveInitialDelayMillis || 0,
    encoding: parameters.client_encoding || 'utf8',
  };
}

module.exports = { NodeSocket };
