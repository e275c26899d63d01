'use strict';

// A server of PostgreSQL's login and nothing else, behind TLS of any kind that Node can offer: certificates that a
// real server would not take, old versions, few ciphers. It lets everybody in and notes how they came, by user.

const { once } = require('node:events');
const net = require('node:net');
const tls = require('node:tls');
const backend = require('./backend-messages');

const SSL_REQUEST = 80877103;
const CANCEL_REQUEST = 80877102;
const MECHANISMS = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];

class TlsFront {
  /**
   * @param options of tls.createServer
   * @param asksForProof whether a login has to begin with SCRAM, bound to the certificate; it is refused in the end
   */
  static async start(options, asksForProof = false) {
    const front = new TlsFront(options, asksForProof);
    front.server.listen(0, '127.0.0.1');
    await once(front.server, 'listening');
    return front;
  }

  constructor(options, asksForProof) {
    this.asksForProof = asksForProof;
    // Weak keys and old signatures are to be refused by clients, not here.
    this.context = tls.createSecureContext({ ciphers: 'DEFAULT:@SECLEVEL=0', ...options });
    this.options = { requestCert: true, rejectUnauthorized: false, ...options };
    this.sockets = new Set();
    /** user -> `{ encrypted, shown }`, of the last login. */
    this.logins = new Map();
    /** Sockets so far. */
    this.connections = 0;
    /** What was seen of the senders of cancel requests. */
    this.cancels = [];
    this.server = net.createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  get port() {
    return this.server.address().port;
  }

  #serve(socket) {
    this.connections++;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.once('data', (bytes) => {
      if (bytes.length !== 8 || bytes.readInt32BE(4) !== SSL_REQUEST) {
        this.#logIn(socket, bytes, { encrypted: false });
        return;
      }
      socket.write('S');
      const secure = new tls.TLSSocket(socket, {
        ...this.options,
        isServer: true,
        secureContext: this.context,
      });
      secure.on('error', () => {});
      secure.once('data', (startup) => this.#logIn(secure, startup, this.#seen(secure)));
    });
  }

  #seen(secure) {
    const shown = secure.getPeerX509Certificate();
    return {
      encrypted: true,
      shown: shown ? shown.fingerprint256 : null,
      refused: shown ? secure.authorizationError : null,
    };
  }

  #logIn(socket, startup, seen) {
    if (startup.readInt32BE(4) === CANCEL_REQUEST) {
      this.cancels.push(seen);
      for (const other of this.sockets) other.destroy();
      return;
    }
    const words = startup.subarray(8).toString('utf8').split('\0');
    this.logins.set(words[words.indexOf('user') + 1], seen);
    if (this.asksForProof) {
      this.#askForProof(socket, seen);
      return;
    }
    socket.write(
      Buffer.concat([
        backend.authenticationOk(),
        backend.parameterStatus('server_version', '17.0'),
        backend.backendKeyData(1, 1),
        backend.readyForQuery(),
      ]),
    );
    // Nothing is answered but the farewell.
    socket.on('data', (bytes) => bytes[0] === 'X'.charCodeAt(0) && socket.end());
  }

  // Notes the mechanism and the channel that the client binds its proof to.
  #askForProof(socket, seen) {
    socket.write(backend.authenticationSASL(seen.encrypted ? MECHANISMS : MECHANISMS.slice(1)));
    socket.once('data', (first) => {
      const text = first.toString('latin1', 5);
      seen.mechanism = text.slice(0, text.indexOf('\0'));
      const nonce = /r=(.*)$/s.exec(text)[1];
      socket.write(backend.authenticationSASLContinue(`r=${nonce}more,s=AAAA,i=1`));
      socket.once('data', (last) => {
        seen.channel = /c=([^,]*)/.exec(last.toString('latin1'))[1];
        socket.end(backend.errorResponse({ severity: 'FATAL', code: '28P01', message: 'no' }));
      });
    });
  }

  async stop() {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}

module.exports = { TlsFront };
