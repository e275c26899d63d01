'use strict';

// A server that follows a script where a real one would never do the thing in question: answers
// out of order, wrong lengths, silence, a closed socket at an exact point.
//
//   const server = await ScriptedServer.start([
//     expect('startup'), greeting(), expect('Q'), errorResponse(), close(),
//   ]);
//
// A step is a Buffer to send, or a function of the session (see `expect`, `close`, `reset`,
// `stall`). Every connection runs the script from its beginning; a function instead of an array is
// asked with the connection's number (from 0). What went wrong is in `server.failures`.

const net = require('node:net');
const { EventEmitter, once } = require('node:events');
const { MessageSplitter } = require('./message-splitter');

/**
 * Waits for the next message and checks its type: a letter, or startup, ssl, cancel. Several
 * letters (`'PBDES'`) stand for as many messages. `check(body)` may throw.
 */
function expect(types, check) {
  const wanted = types.length > 1 && types === types.toUpperCase() ? [...types] : [types];
  return async (session) => {
    for (const type of wanted) {
      const message = await session.next();
      if (message.type !== type) throw new Error(`expected message ${type}, got ${message.type}`);
      check?.(message.body);
    }
  };
}

/** Waits for the next message of that type and passes over those before it. */
const skipTo = (type) => async (session) => {
  while ((await session.next()).type !== type);
};
/** Sends FIN after what was sent. */
const close = () => (session) => void session.socket.end();
/** Sends RST. */
const reset = () => (session) => void session.socket.resetAndDestroy();
/** Says nothing more and keeps the connection open until the other side or `stop` ends it. */
const stall = () => (session) => once(session.socket, 'close');
/** Runs the steps again and again until the client leaves. */
const forever =
  (...steps) =>
  async (session) => {
    for (;;) await session.run(steps);
  };

class Session {
  #messages = [];
  #arrived = new EventEmitter();
  #splitter = new MessageSplitter(true);
  #pending = Buffer.alloc(0);
  #gone = false;

  constructor(socket, received) {
    this.socket = socket;
    this.received = received;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => {});
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#gone = true;
        this.#arrived.emit('news');
      });
    }
  }

  #take(chunk) {
    const before = this.#pending.length;
    const bytes = Buffer.concat([this.#pending, chunk]);
    let begin = 0;
    for (const mark of this.#splitter.push(chunk)) {
      if (mark.at !== 'end') continue;
      const end = before + mark.offset;
      const untyped = mark.type.length > 1;
      const message = { type: mark.type, body: bytes.subarray(begin + (untyped ? 4 : 5), end) };
      this.#messages.push(message);
      this.received.push(message);
      begin = end;
    }
    this.#pending = bytes.subarray(begin);
    this.#arrived.emit('news');
  }

  /** The next message of the client. */
  async next() {
    while (this.#messages.length === 0) {
      if (this.#gone) throw new ClientLeft();
      await once(this.#arrived, 'news');
    }
    return this.#messages.shift();
  }

  async send(bytes) {
    if (this.socket.destroyed) throw new ClientLeft();
    if (!this.socket.write(bytes))
      await Promise.race([once(this.socket, 'drain'), once(this.socket, 'close')]);
  }

  async run(steps) {
    for (const step of steps) {
      if (typeof step === 'function') await step(this);
      else await this.send(step);
    }
  }
}

class ClientLeft extends Error {
  constructor() {
    super('the client closed the connection before the script ended');
  }
}

class ScriptedServer {
  host = '127.0.0.1';
  port = 0;
  accepted = 0;
  /** All messages of all connections, `{ type, body }`. */
  received = [];
  /** Errors of scripts: unmet expectations. A client that leaves early is none. */
  failures = [];
  #listener;
  #sockets = new Set();
  #script;

  static async start(script) {
    const server = new ScriptedServer(script);
    server.#listener.listen(0, server.host);
    await once(server.#listener, 'listening');
    server.port = server.#listener.address().port;
    return server;
  }

  constructor(script) {
    this.#script = typeof script === 'function' ? script : () => script;
    this.#listener = net.createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  async #serve(socket) {
    const number = this.accepted++;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    const session = new Session(socket, this.received);
    try {
      await session.run(this.#script(number));
    } catch (error) {
      if (error instanceof ClientLeft) return;
      this.failures.push(error);
      socket.destroy();
    }
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
    await once(this.#listener, 'close');
  }
}

module.exports = { ScriptedServer, expect, skipTo, close, reset, stall, forever };
