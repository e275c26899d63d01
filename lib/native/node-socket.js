'use strict';

// A stream that Node opens and carries for the core: made by the application's `stream` option, or
// encrypted with TLS options that only Node's own TLS serves. The core speaks its protocol through it as
// through a socket of its own; back-pressure is passed on in both directions.

const net = require('node:net');
const tls = require('node:tls');
const { SECRETS_OF_TLS } = require('../config/secrets');
const { callUserCode } = require('../async/uncaught');
const { withReason } = require('../errors');
const { REASONS } = require('./layout');

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

class NodeSocket {
  /**
   * @param native the pool that asked for it, under the number `id`
   * @param place `{ host, port }`
   * @param client says how: its options and connection parameters
   * @param fail gives an error of the application, for which the core gets a text
   */
  constructor(native, id, place, client, fail) {
    this.native = native;
    this.id = id;
    this.place = place;
    this.client = client;
    this.fail = fail;
    this.stream = null;
    this.settled = false;
  }

  open() {
    try {
      this.connect();
    } catch (error) {
      this.settle(error);
    }
  }

  connect() {
    const { _options: options, connectionParameters: parameters } = this.client;
    const { host, port } = this.place;
    const given = options.stream || new net.Socket();
    const stream = typeof given === 'function' ? given(streamConfig(options, parameters)) : given;
    stream.on('error', (error) => this.settle(error));
    stream.on('close', () => this.end());
    this.stream = stream;
    const ready = () => {
      if (options.keepAlive && stream.setKeepAlive)
        stream.setKeepAlive(true, options.keepAliveInitialDelayMillis);
      this.greet(stream, parameters);
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

  // Encrypts first, if that is wanted.
  greet(stream, { ssl, sslnegotiation }) {
    if (!ssl) this.carry(stream);
    else if (sslnegotiation === 'direct') this.encrypt(stream, ssl, ['postgresql']);
    else {
      stream.once('data', (answer) => {
        if (answer.toString('latin1') === 'S') this.encrypt(stream, ssl);
        else if (answer[0] === 0x4e) this.settle(new Error('The server does not support SSL connections'));
        else this.settle(new Error('There was an error establishing an SSL connection'));
      });
      stream.write(SSL_REQUEST);
    }
  }

  encrypt(socket, ssl, ALPNProtocols) {
    try {
      const options = typeof ssl === 'object' ? { ...ssl } : {};
      // What is out of sight is not copied.
      for (const name of SECRETS_OF_TLS) if (ssl[name] !== undefined) options[name] = ssl[name];
      if (ALPNProtocols) options.ALPNProtocols = ALPNProtocols;
      if (net.isIP(this.place.host) === 0) options.servername = this.place.host;
      const stream = tls.connect({ ...options, socket });
      this.stream = stream;
      stream.on('error', (error) => this.settle(error));
      stream.on('close', () => this.end());
      stream.once('secureConnect', () => this.carry(stream));
    } catch (error) {
      this.settle(error);
    }
  }

  carry(stream) {
    stream.on('data', (bytes) => {
      this.guarded(() => this.native.socketData(this.id, bytes) || stream.pause());
    });
    stream.on('end', () => this.end());
    // What is expected of the connection keeps the process alive, not the socket.
    if (stream.unref) stream.unref();
    this.settle();
  }

  /** The outcome of opening it, once; later errors end it. */
  settle(error) {
    if (!this.settled) {
      this.settled = true;
      this.native.dialed(this.id, error === undefined ? null : this.fail(error));
      if (error !== undefined) this.close();
    } else if (error !== undefined) {
      this.end();
    }
  }

  end() {
    if (this.settled) this.native.socketClosed(this.id);
    else this.settle(withReason(new Error('Connection terminated unexpectedly'), REASONS.LOST));
  }

  // From the bridge: bytes for the server, room for more of its own, the end.
  write(bytes) {
    const { length } = bytes;
    this.guarded(() => this.stream.write(bytes, () => this.native.socketWritten(this.id, length)));
  }

  resume() {
    this.guarded(() => this.stream.resume());
  }

  // A stream of the application's that is none, or gives text for bytes, is the end of the tunnel.
  guarded(call) {
    try {
      call();
    } catch {
      this.end();
      this.close();
    }
  }

  close() {
    this.settled = true;
    const { stream } = this;
    if (stream === null) return;
    callUserCode(() => {
      stream.on('error', () => {});
      if (stream.destroy) stream.destroy();
      else if (stream.end) stream.end();
    });
  }
}

// What pg gives to a `stream` function.
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
