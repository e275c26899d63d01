'use strict';

// The bridge to the Rust core, one per JavaScript thread. It hands out ids, reads the records of each frame and
// gives every record to the request, connection or delegate it is addressed to. It decides nothing. The
// layout of a frame is in layout.js and in docs/design/boundary.md.
//
// One drain lasts a few milliseconds at most; the rest waits for the next turn of the event loop, so that large
// results never freeze the application. User code that throws never stops the reading.

const { forgetBuilders } = require('../decode/row-compiler');
const RowDescription = require('../decode/row-description');
const { ConfigurationError } = require('../errors');
const { runOutside } = require('../async/callback-context');
const { callUserCode, throwAsync } = require('../async/uncaught');
const { Frame, UnreadableRecord } = require('./frame');
const { CLOSE_REASONS, REASONS, RECORD, RECORDS } = require('./layout');
const { RequestTable } = require('./request-table');
const { monotonicNow, setImmediate } = require('../async/timers');

// The transaction status outside of a transaction.
const IDLE = 'I'.charCodeAt(0);
const BUFFER_BYTES = 256 * 1024;
const DRAIN_MILLIS = 3;
// The clock is read once per this much work; a record counts as its bytes and a fixed share.
const WORK_PER_CLOCK = 16 * 1024;
const WORK_PER_RECORD = 256;

const {
  SHAPE,
  ROWS,
  COMMAND,
  DONE,
  FAIL,
  LEASED,
  OPENED,
  CLOSED,
  CONNECTION_EVENT,
  ASK_PASSWORD,
  FORGET,
  RESTART,
  RAW,
  SUSPENDED,
  POOL_EVENT,
  DIAL,
  SOCKET_WRITE,
  SOCKET_RESUME,
  SOCKET_CLOSE,
  LOG,
  LOGIN_STEP,
  BEFORE_CONNECT,
  CONNECT_FAILED,
  OVERDUE,
  LOOKUP,
} = RECORDS;

const { LENGTH, KIND, ID, ARGUMENT, KIND_BITS } = RECORD;
const KIND_MASK = (1 << KIND_BITS) - 1;
const HEADER_BYTES = RECORD.HEADER * 4;

// The failure of a checkout whose connection was closed on its way here.
const LOST = { kind: 'plain', reason: REASONS.LOST, message: 'Connection terminated unexpectedly' };

/**
 * Delegate: what the core calls on the owner of a native pool. A pool has a PoolDelegate, a client that stands alone
 * a ConnectRequest. Numbers of attempts and sockets are the core's; its questions are answered under them.
 *
 * @typedef {object} Delegate
 * @property {number} number set by `openPool`
 * @property {import('../pool/pool')} [pool] of a PoolDelegate
 * @property {(connection: ConnectionHandle) => void} opened a connection is open. With `awaitsOnConnect` in its info
 *   the core waits for `onConnectDone`
 * @property {(connection: ConnectionHandle, info: ClosedInfo) => void} closed a connection is closed; nothing more
 *   comes from it
 * @property {(attempt: number) => void} askPassword the server wants a password: answered by `givePassword`
 * @property {(attempt: number) => void} beforeConnect an attempt to connect is about to begin: answered by
 *   `resolveConnect`. Only after `interceptConnects(true)`
 * @property {(attempt: number, failure: object|null) => void} connectFailed an attempt that was intercepted has
 *   failed: answered by `resolveConnect`. Null: the core has given it up, and takes no answer
 * @property {(socket: number, place: { host: string, port: number }) => NodeSocketType|undefined} dial a socket of
 *   Node's is wanted, as the setting `dial` says. Undefined: `dialed` has been called with an error
 * @property {(lookup: number, host: string) => void} lookup the addresses of a host are wanted, as the setting `lookup`
 *   says: answered by `lookedUp`
 * @property {(step: object) => void} loginStep a message of the login, as the setting `tellLogin` says
 * @property {(event: { event: 'retry'|'breaker' }) => void} poolEvent a request runs again, or a breaker has changed
 * @property {(lease: { connection: number, heldMillis: number }) => void} overdue a connection has been leased for
 *   over 30 seconds
 *
 * @typedef {InstanceType<typeof import('./node-socket').NodeSocket>} NodeSocketType
 *
 * @typedef {import('node:async_hooks').AsyncResource & { isTaken?: boolean }} ContextOfRequest `isTaken`: a connection
 *   has it already
 *
 * @typedef {{ reason: string, error: object|null, idle: boolean }} ClosedInfo `error`: why, if this side did not
 *   close it; `idle`: nobody used it
 */

/**
 * Request: what the core answers under an id. It ends with `takeDone` or `takeFailure`, or with `takeConnection`.
 *
 * @typedef {object} Request
 * @property {number} id set by `register`; 0: it is not registered
 * @property {boolean} keepsAlive whether it keeps the process alive
 * @property {object} [pool] that it is a request of
 * @property {ContextOfRequest|null} [context] of its call, where a connection may be opened for it
 * @property {(argument: number) => void} [takeDone] it is answered; as a rule with the transaction status
 * @property {(failure: object, status: number) => void} takeFailure it has failed
 * @property {(connection: ConnectionHandle, status: number) => void} [takeConnection] a checkout has its connection;
 *   with the transaction status
 * @property {(shape: RowDescription, frame: InstanceType<typeof Frame>, word: number) => void} [takeRows] rows, in the record at `word`
 * @property {(tag: string) => void} [takeCommand] the end of a result
 * @property {() => void} [takeRestart] the rows so far are void: it runs again
 * @property {() => void} [takePause] a page is complete
 * @property {(flags: number, bytes: Buffer) => void} [takeRaw] bytes of its connection in raw mode
 * @property {(error: Error) => void} [failAtEnd] a part of its answer could not be read: it fails with this error when it ends
 */

/** @typedef {ConnectionHandle} ConnectionHandleType */

/** A connection of the core, as JavaScript knows it. */
class ConnectionHandle {
  constructor(id, delegate, info) {
    this.id = id;
    this.delegate = delegate;
    this.info = info;
    this.client = null;
    // The async context of the request that it was opened for.
    this.context = null;
    this.leased = false;
    this.open = true;
    // Until it is leased for the first time.
    this.isNew = true;
    this.keepsAlive = false;
  }
}

class Bridge {
  /** @param {typeof import('.')} native what the native part exports */
  constructor(native) {
    this.module = native;
    this.native = new native.Bridge();
    this.isAttached = false;
    this.ownFrame = new Frame(BUFFER_BYTES);
    this.frame = this.ownFrame;
    this.at = 0;
    this.filled = 0;
    this.draining = false;
    this.postponed = false;
    this.requests = new RequestTable();
    /** @type {Map<number, ConnectionHandle>} */
    this.connections = new Map();
    /**
     * Checkouts that were leased a connection before its record OPENED was read.
     * @type {Map<number, Request>}
     */
    this.leasedUnopened = new Map();
    this.nodeSockets = new Map();
    this.shapes = new Map();
    // Delegates are held weakly: as under pg, a pool without connections that nobody refers to is collected.
    // Its connections and requests refer to it.
    /** @type {Map<number, WeakRef<Delegate>>} */
    const delegates = new Map();
    this.delegates = delegates;
    this.collected = new FinalizationRegistry((number) => delegates.delete(number));
    this.lastNumber = 0;
    /**
     * Receives the events of the log; set by monitor/event-log.js while it listens.
     * @type {(event: object) => void}
     */
    this.onLog = () => {};
    this.alive = 0;
    /** @type {(() => void)[]} */
    this.onSucceeded = [];
    this.attach();
  }

  // Attaches the function that wakes this thread. In a reaction of a promise: what is made in a call of the application
  // is an open handle of its to tools that look for those (jest --detectOpenHandles).
  async attach() {
    await undefined;
    // The core must not keep this module alive: a test runner throws whole module registries away.
    const self = new WeakRef(this);
    this.native.attach(() => {
      const bridge = self.deref();
      if (bridge !== undefined) bridge.drain();
    });
    this.isAttached = true;
    if (this.alive > 0) this.native.ref();
    // What came before woke nobody.
    setImmediate(() => this.drain());
  }

  /**
   * A native pool that reports to `delegate`.
   * @param {Delegate} delegate
   * @param {object} settings docs/design/boundary.md, "Settings as JSON"
   * @throws ConfigurationError naming every option that is out of its range
   */
  openPool(delegate, settings) {
    const number = ++this.lastNumber;
    const pool = this.newPool(number, settings);
    this.delegates.set(number, new WeakRef(delegate));
    this.collected.register(delegate, number);
    delegate.number = number;
    return pool;
  }

  newPool(number, settings) {
    try {
      return new this.module.Pool(this.native, number, JSON.stringify(settings));
    } catch (error) {
      if (error.code === 'InvalidArg') throw new ConfigurationError(error.message.split('\n'));
      throw error;
    }
  }

  /** Forgets a delegate, which expects no further calls. */
  forget(delegate) {
    this.delegates.delete(delegate.number);
  }

  delegate(number) {
    return this.delegates.get(number)?.deref();
  }

  /**
   * Gives `request` an id. It keeps the process alive until it is taken out, if it says so.
   * @param {Request} request
   */
  register(request) {
    const id = this.requests.add(request);
    request.id = id;
    if (request.keepsAlive) this.keepAlive();
    return id;
  }

  /** Takes a request out of the table; undefined: it is not there any more. */
  take(id) {
    const request = this.requests.take(id);
    if (request === undefined) return undefined;
    request.id = 0;
    if (request.keepsAlive) this.letGo();
    return request;
  }

  keepAlive() {
    if (this.alive++ === 0 && this.isAttached) this.native.ref();
  }

  letGo() {
    if (--this.alive === 0 && this.isAttached) this.native.unref();
  }

  /** Sets whether an open connection keeps the process alive. */
  setKeepsAlive(connection, on) {
    if (connection.keepsAlive === on) return;
    connection.keepsAlive = on;
    if (on) this.keepAlive();
    else this.letGo();
  }

  /** The open connections of a delegate, the oldest first. */
  connectionsOf(delegate) {
    return [...this.connections.values()].filter((connection) => connection.delegate === delegate);
  }

  /** Whether a statement or checkout of this pool is still unanswered. */
  hasRequestsOf(pool) {
    return this.requests.all().some((request) => request.pool === pool);
  }

  /** The requests of this pool that have yet to be answered. */
  requestsOf(pool) {
    return this.requests.all().filter((request) => request.pool === pool);
  }

  /** Drains the outbox of the core, which calls this to wake the thread. */
  drain() {
    if (this.draining || this.postponed) return;
    this.draining = true;
    try {
      this.drainFor(monotonicNow() + DRAIN_MILLIS);
    } finally {
      this.draining = false;
    }
  }

  drainFor(until) {
    let work = 0;
    while (this.at < this.filled || this.fill()) {
      const frame = this.frame;
      const word = this.at >>> 2;
      const length = frame.words[word + LENGTH];
      if (length < HEADER_BYTES) {
        this.at = this.filled;
        throwAsync(new Error(`a record of ${length} bytes came from the native core`));
        continue;
      }
      this.at += length;
      try {
        this.onRequestRecord(frame, word);
      } catch (error) {
        if (error instanceof UnreadableRecord) this.onUnreadable(frame, word, error);
        else throwAsync(error);
      }
      work += length + WORK_PER_RECORD;
      if (work < WORK_PER_CLOCK) continue;
      work = 0;
      if (monotonicNow() >= until) return this.continueLater();
    }
  }

  // Fills the frame with the next whole records. A record that is larger than the frame gets one of its own, or is
  // left out where there is no memory for that.
  fill() {
    for (;;) {
      this.frame = this.ownFrame;
      this.at = 0;
      this.filled = 0;
      this.filled = this.native.take(this.ownFrame.bytes);
      if (this.filled >= 0) return this.filled > 0;
      const frame = this.frameOf(-this.filled);
      this.filled = 0;
      if (frame === null) continue;
      this.frame = frame;
      this.filled = this.native.take(frame.bytes);
      return true;
    }
  }

  // A frame of its own for a record of so many bytes; null: the record is left out.
  frameOf(length) {
    try {
      return new Frame(length);
    } catch (error) {
      this.native.skip(this.ownFrame.bytes);
      this.onUnreadable(this.ownFrame, 0, new UnreadableRecord(error));
      return null;
    }
  }

  // A record that cannot be read costs the request or connection that it is of, and nothing else.
  onUnreadable(frame, word, error) {
    const kind = frame.words[word + KIND] & KIND_MASK;
    const id = frame.words[word + ID];
    const failure = { kind: 'plain', message: error.message };
    switch (kind) {
      case ROWS:
      case COMMAND:
      case RAW:
        this.requests.get(id)?.failAtEnd?.(error);
        return;
      case FAIL:
        this.take(id)?.takeFailure(failure, frame.words[word + KIND] >>> KIND_BITS);
        return;
      case CLOSED:
        this.onClosed(id, { reason: CLOSE_REASONS.BROKEN, error: failure, idle: false });
        return;
      default:
        process.emitWarning(error.message, error.name);
    }
  }

  continueLater() {
    this.postponed = true;
    setImmediate(() => {
      this.postponed = false;
      this.drain();
    });
  }

  // Records that are addressed to a request; the others go on to `onOtherRecord`.
  onRequestRecord(frame, word) {
    const words = frame.words;
    const kind = words[word + KIND] & KIND_MASK;
    const id = words[word + ID];
    const argument = words[word + ARGUMENT];
    switch (kind) {
      case ROWS: {
        const request = this.requests.get(id);
        if (request === undefined) return;
        const shape = this.shapes.get(argument);
        if (shape === undefined) throw new UnreadableRecord(new Error('its columns are not known'));
        request.takeRows(shape, frame, word);
        return;
      }
      case COMMAND: {
        const request = this.requests.get(id);
        if (request !== undefined) request.takeCommand(frame.text(word, argument));
        return;
      }
      case DONE: {
        const request = this.take(id);
        if (request !== undefined) request.takeDone(argument);
        return;
      }
      case FAIL: {
        const failure = frame.json(word, argument);
        const request = this.take(id);
        if (request !== undefined) request.takeFailure(failure, words[word + KIND] >>> KIND_BITS);
        return;
      }
      case LEASED: {
        const request = this.take(id);
        const connection = this.connections.get(argument);
        if (request === undefined) return;
        if (connection === undefined) request.takeFailure(LOST, 0);
        else request.takeConnection(connection, words[word + KIND] >>> KIND_BITS);
        return;
      }
      case RESTART: {
        const request = this.requests.get(id);
        if (request !== undefined) request.takeRestart();
        return;
      }
      case RAW: {
        const request = this.requests.get(id);
        if (request !== undefined)
          request.takeRaw(words[word + KIND] >>> KIND_BITS, frame.copy(word, argument));
        return;
      }
      case SUSPENDED: {
        const request = this.requests.get(id);
        if (request !== undefined) request.takePause();
        return;
      }
      default:
        this.onOtherRecord(kind, frame, word);
    }
  }

  // Records that no request asked for: of connections, sockets, delegates and the log.
  onOtherRecord(kind, frame, word) {
    const id = frame.words[word + ID];
    const argument = frame.words[word + ARGUMENT];
    switch (kind) {
      case SHAPE:
        this.shapes.set(id, new RowDescription(id, frame.json(word, argument)));
        return;
      case FORGET:
        if (id !== 0) {
          this.shapes.delete(id);
        } else {
          this.shapes.clear();
          forgetBuilders();
        }
        return;
      case OPENED:
        this.onOpened(id, frame.json(word, argument));
        return;
      case CLOSED:
        this.onClosed(id, frame.json(word, argument));
        return;
      case CONNECTION_EVENT: {
        const connection = this.connections.get(id);
        if (connection !== undefined && connection.client !== null)
          connection.client._event(frame.json(word, argument));
        return;
      }
      case ASK_PASSWORD:
        this.delegate(argument)?.askPassword(id);
        return;
      case POOL_EVENT:
        this.delegate(id)?.poolEvent(frame.json(word, argument));
        return;
      case OVERDUE:
        this.delegate(id)?.overdue(frame.json(word, argument));
        return;
      case LOGIN_STEP:
        this.delegate(id)?.loginStep(frame.json(word, argument));
        return;
      case BEFORE_CONNECT:
        this.delegate(argument)?.beforeConnect(id);
        return;
      case CONNECT_FAILED: {
        const { pool, error } = frame.json(word, argument);
        this.delegate(pool)?.connectFailed(id, error);
        return;
      }
      case DIAL:
        this.onDial(id, frame.json(word, argument));
        return;
      case SOCKET_WRITE:
      case SOCKET_RESUME:
      case SOCKET_CLOSE:
        this.onSocketRecord(kind, id, frame, word, argument);
        return;
      case LOOKUP: {
        const { pool, host } = frame.json(word, argument);
        this.delegate(pool)?.lookup(id, host);
        return;
      }
      case LOG:
        this.onLog(frame.json(word, argument));
        return;
      default:
        throw new Error(`a record of unknown kind ${kind} came from the native core`);
    }
  }

  onDial(id, info) {
    const socket = this.delegate(info.pool)?.dial(id, info);
    if (socket === undefined) return;
    this.nodeSockets.set(id, socket);
    socket.open();
  }

  onSocketRecord(kind, id, frame, word, length) {
    const socket = this.nodeSockets.get(id);
    if (socket === undefined) return;
    if (kind === SOCKET_WRITE) {
      socket.write(frame.copy(word, length));
    } else if (kind === SOCKET_RESUME) {
      socket.resume();
    } else {
      this.nodeSockets.delete(id);
      socket.close();
    }
  }

  onOpened(id, info) {
    const delegate = this.delegate(info.pool);
    if (delegate === undefined) return;
    const connection = new ConnectionHandle(id, delegate, info);
    this.connections.set(id, connection);
    delegate.opened(connection);
    const request = this.leasedUnopened.get(id);
    if (request === undefined) return;
    this.leasedUnopened.delete(id);
    this.take(request.id);
    request.takeConnection(connection, IDLE);
  }

  /** The core has leased this connection, outside of a transaction, to a checkout in the call that asked. */
  leasedAtOnce(checkout, id) {
    const connection = this.connections.get(id);
    if (connection === undefined) {
      // The record that tells of the connection is on its way.
      this.leasedUnopened.set(id, checkout);
      return;
    }
    this.take(checkout.id);
    checkout.takeConnection(connection, IDLE);
  }

  onClosed(id, info) {
    const connection = this.connections.get(id);
    if (connection === undefined) return;
    this.connections.delete(id);
    connection.open = false;
    this.setKeepsAlive(connection, false);
    connection.delegate.closed(connection, info);
  }
}

/** @type {Bridge} */
let current;

/** The bridge of this thread; the native core is loaded when it is first needed. */
function bridge() {
  // What the core calls runs in the context in which the bridge was made.
  if (current === undefined) runOutside(open);
  return current;
}

function open() {
  const native = require('.');
  current = new Bridge(native);
  succeed(native, current);
}

// A test runner evaluates this package anew for each of its files, but the native part once. So that part keeps the newest
// bridge of this file, which is told of the one that comes after it.
const NEWEST = Symbol.for('pgpool-rs.newest-bridges');

function succeed(native, newest) {
  const bridges = (native[NEWEST] ??= new Map());
  const before = bridges.get(__filename)?.deref();
  bridges.set(__filename, new WeakRef(newest));
  for (const tell of before?.onSucceeded ?? []) callUserCode(tell);
}

/**
 * Loads the native part, and opens nothing.
 * @throws Error with the code ERR_PGPOOL_NATIVE where there is none for this system
 */
function loadNative() {
  if (current === undefined) require('.');
}

module.exports = { Bridge, bridge, loadNative };
