'use strict';

// A socket of Node's over which the core speaks to a server: made by the application's `stream` option, or encrypted
// with TLS options that only Node's own TLS serves. Back-pressure is passed on in both directions.

const net = require('node:net');
const tls = require('node:tls');
const { connectOptions } = require('../config/tls-options');
const { callUserCode } = require('../async/uncaught');
const { failureReason, withReason } = require('../errors');
const { REASONS } = require('./layout');

const NO_CERTIFICATE = Buffer.alloc(0);
// ECONNREFUSED, but not ERR_SSL_WRONG_VERSION_NUMBER.
const SYSTEM_CODE = /^E(?!RR_)[A-Z0-9_]+$/;
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
      const { host } = this.place;
      // An address is no name that may be asked for, but it is what the certificate has to have.
      const options = { host, ...connectOptions(ssl), socket };
      if (ALPNProtocols) options.ALPNProtocols = ALPNProtocols;
      if (net.isIP(host) === 0) options.servername = host;
      const stream = tls.connect(options);
      this.stream = stream;
      stream.on('error', (error) => this.dialed(error));
      stream.on('close', () => this.closed());
      stream.once('secureConnect', () => this.connected(stream, this.certificateOf(stream)));
    } catch (error) {
      this.dialed(error);
    }
  }

  // The certificate that a login binds to, if it does.
  certificateOf(stream) {
    return (this.client.enableChannelBinding && stream.getPeerCertificate().raw) || NO_CERTIFICATE;
  }

  // The stream is connected; an encrypted one has a certificate.
  connected(stream, certificate) {
    stream.on('data', (bytes) => {
      this.guarded(() => this.native.socketData(this.id, bytes) || stream.pause());
    });
    stream.on('end', () => this.closed());
    // Requests and connections keep the process alive, not sockets.
    if (stream.unref) stream.unref();
    this.isDialed = true;
    this.native.dialed(this.id, null, certificate);
  }

  /** Answers DIAL, once; a later error is the end of the stream. */
  dialed(error) {
    if (this.isDialed) {
      this.closed();
      return;
    }
    this.isDialed = true;
    this.native.dialed(this.id, { ...this.keep(error), ...natureOf(error) });
    this.close();
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

// What the core needs to know of an error, to judge whether another attempt makes sense. Anything can be thrown.
function natureOf(error) {
  const lost = failureReason(error) === REASONS.LOST;
  try {
    return { lost, ...codesOf(Object(error)) };
  } catch {
    return { lost };
  }
}

function codesOf({ code, syscall, address, port }) {
  if (typeof code !== 'string') return {};
  if (!SYSTEM_CODE.test(code)) return { code };
  return {
    code,
    // An error of several addresses has none, nor has a socket that is closed during the handshake.
    syscall: typeof syscall === 'string' ? syscall : 'connect',
    address: typeof address === 'string' ? address : undefined,
    port: Number.isInteger(port) ? port : undefined,
  };
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

module.exports = { NodeSocket, natureOf };
