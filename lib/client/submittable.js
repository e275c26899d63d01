'use strict';

// Submittables: objects with a `submit` method (pg-cursor, pg-query-stream, pg-copy-streams). Each gets the connection
// for itself, in raw mode: it writes through `client.connection`, and gets every message of the server.
//
// A raw session ends when the server has answered every Sync and query with ReadyForQuery: only then are the
// borders of the next exchange known. If the core does not agree, one more Sync settles it.

const { isFatal } = require('./connection-loss');
const { moveTo } = require('./session-state');
const { captureContext, runIn } = require('../async/callback-context');
const { callUserCode, throwAsync } = require('../async/uncaught');
const { RAW_FLAGS } = require('../native/layout');
const { clearTimeout, nextTick, setImmediate, setTimeout } = require('../async/timers');

const { BEGUN, DRAINED } = RAW_FLAGS;
// Messages after which an extended query goes on only when it is asked to.
const PAUSES = new Set(['rowDescription', 'noData', 'portalSuspended']);
// Messages that answer an Execute.
const PORTAL_ENDS = new Set(['portalSuspended', 'commandComplete', 'emptyQuery', 'error']);

/** @typedef {RawSession} RawSessionType */

class RawSession {
  /** @param query the submittable; null for bytes that were written outside of any session */
  constructor(client, query) {
    this.id = 0;
    this.keepsAlive = true;
    this.client = client;
    this.query = query;
    // The context of the query call.
    this.context = query === null ? null : captureContext();
    // Receiver of the messages; null once it has failed or is done.
    this.active = query;
    this.backlog = null;
    // Number of ReadyForQuery messages that are expected, and of those that a Sync asked for.
    this.readyExpected = 0;
    this.syncs = 0;
    // Number of portals that were to run and have not come to a pause or an end.
    this.executing = 0;
    // Whether the server may have done what it was asked for, and wait for us.
    this.isWaitingForUs = false;
    this.timer = undefined;
    // Whether the connection has been returned to the core.
    this.isReturned = false;
    // Whether the client was released in the meantime.
    this.isAbandoned = false;
    this.pauses = 0;
    // Error to fail with, where it is not that of the lost connection.
    this.failure = undefined;
    // Exception of `submit`.
    this.thrown = undefined;
    this.isRaw = true;
  }

  /** From the queue: asks the core for the connection. */
  send() {
    const { client } = this;
    if (!client._native.startRaw(client._handle.id, this.id)) return;
    this.begin();
  }

  begin() {
    const { client, active } = this;
    const { connection } = client;
    client._rawSession = this;
    this.readyExpected = connection._readyExpected;
    connection._readyExpected = 0;
    if (active === null) {
      if (this.backlog !== null) transmit(client, this.backlog);
      // The bytes ask for no answer that would tell when the server has dealt with them.
      if (this.readyExpected === 0) connection.sync();
      return;
    }
    // The one listener for `data` is there before the submittable looks for it.
    void connection.stream;
    let refusal;
    try {
      refusal = active.submit(connection);
    } catch (error) {
      this.active = null;
      this.thrown = error;
      this.returnIfDone();
    }
    if (refusal) {
      this.active = null;
      nextTick(() => {
        active.handleError(refusal, connection);
        this.returnIfDone();
      });
    }
  }

  expectReady(sync) {
    this.readyExpected++;
    if (sync) this.syncs++;
  }

  /**
   * The client was released: the query goes on until it waits for its application, and then fails. False: only
   * closing the connection ends it.
   */
  abandon() {
    const { _stream: stream } = this.client.connection;
    // A reader that took over the stream reads no more.
    if (this.query !== null && this.query.destroyed && stream !== null && stream.listenerCount('data') === 0)
      return false;
    this.isAbandoned = true;
    this.failIfWaiting();
    return true;
  }

  failIfWaiting() {
    const { client } = this;
    if (!this.isWaitingForUs || this.executing > 0 || this.readyExpected > 0 || client._rawSession !== this)
      return;
    const { _stream: stream } = client.connection;
    if (stream === null || !stream.isPending) this.takeError(released());
  }

  /** One message of the server. */
  take(message) {
    this.pass(message);
    if (!this.isAbandoned || !this.isWaitingForUs) return;
    // The reader of a cursor gets its rows in the next turn, and may ask for more.
    const pause = ++this.pauses;
    setImmediate(() => {
      if (pause === this.pauses) this.failIfWaiting();
    });
  }

  pass(message) {
    const { active } = this;
    this.isWaitingForUs = PAUSES.has(message.name);
    if (PORTAL_ENDS.has(message.name) && this.executing > 0) this.executing--;
    const { connection } = this.client;
    switch (message.name) {
      case 'rowDescription':
        this.give('handleRowDescription', message);
        return;
      case 'dataRow':
        this.give('handleDataRow', message);
        return;
      case 'portalSuspended':
        tell(active, 'handlePortalSuspended', connection);
        return;
      case 'emptyQuery':
        tell(active, 'handleEmptyQuery', connection);
        return;
      case 'commandComplete':
        tell(active, 'handleCommandComplete', message, connection);
        return;
      case 'copyData':
        tell(active, 'handleCopyData', message, connection);
        return;
      case 'copyInResponse':
        // The server throws away a Sync that reaches it while it copies.
        this.readyExpected -= this.syncs;
        this.syncs = 0;
        tell(active, 'handleCopyInResponse', connection);
        return;
      case 'parseComplete':
        if (active !== null && active.name) {
          connection.parsedStatements[active.name] = active.text;
          delete connection.submittedNamedStatements[active.name];
        }
        return;
      case 'error':
        this.takeError(message);
        return;
      case 'readyForQuery':
        this.takeReady(message);
        return;
      default:
    }
  }

  // An exception of the submittable, or of a type parser, fails it like an error of the server.
  give(method, message) {
    const { active } = this;
    if (active === null || typeof active[method] !== 'function') return;
    try {
      active[method](message);
    } catch (error) {
      this.takeError(error);
    }
  }

  takeError(error) {
    const { active, client } = this;
    const fatal = isFatal({ kind: 'database', severity: error?.severity });
    if (fatal) moveTo(client, 'fatal', { code: error.code });
    this.active = null;
    if (active !== null) {
      if (active.name) delete client.connection.submittedNamedStatements[active.name];
      callUserCode(() => active.handleError(error, client.connection));
    }
    // After an error the server skips everything up to a Sync.
    if (this.readyExpected === 0 && !fatal) client.connection.sync();
  }

  takeReady(message) {
    const { active, client } = this;
    this.readyExpected--;
    if (this.syncs > 0) this.syncs--;
    client._txStatus = message.status;
    this.active = null;
    // The return comes first, so that a release in answer to the end gives the connection back at once.
    this.returnIfDone();
    tell(active, 'handleReadyForQuery', client.connection);
  }

  /** Returns the connection to the core if no answer of the server is outstanding. */
  returnIfDone() {
    const { client } = this;
    if (this.readyExpected > 0 || client._rawSession !== this) return;
    if (!client._handle.open) return;
    clearTimeout(this.timer);
    if (client._native.endRaw(client._handle.id, this.id)) {
      client._rawSession = null;
      this.isReturned = true;
      const { _stream: stream } = client.connection;
      if (stream !== null) stream.reset();
      if (client._earlyRelease !== null) client._earlyRelease.submittableDone();
    } else {
      client.connection.sync();
    }
  }

  /** Query timeout as in pg: the submittable gets it by `callback` and by `handleError`; the server is told to stop. */
  limit(millis) {
    const { query, client } = this;
    const callback = query.callback || (() => {});
    this.timer = setTimeout(() => {
      const error = new Error('Query read timeout');
      nextTick(() => {
        const late = this.active === null;
        this.active = null;
        if (!late) callUserCode(() => query.handleError(error, client.connection));
      });
      callback(error);
      query.callback = () => {};
      client._requests.withdraw(this);
    }, millis);
    query.callback = (error, result) => {
      clearTimeout(this.timer);
      callback(error, result);
    };
  }

  // From the bridge: raw mode has begun, the core has room again, or the server has sent bytes.
  takeRaw(flags, bytes) {
    runIn(this.context, receive, this, flags, bytes);
  }

  receive(flags, bytes) {
    if (flags === BEGUN) {
      this.begin();
      if (this.thrown !== undefined) throwAsync(this.thrown);
    } else if (flags === DRAINED) this.client.connection.stream.drained();
    else this.client.connection.stream.feed(bytes);
  }

  /** Bytes are missing: the border of the next message is not known. */
  failAtEnd(error) {
    this.failure = error;
    this.client.connection.stream.destroy();
  }

  takeDone(status) {
    this.client._requests.settled(this, status);
  }

  takeFailure(failure, status) {
    if (this.client._rawSession === this) this.client._rawSession = null;
    this.client._requests.failed(this, failure, status);
  }

  finish() {}

  fail(error) {
    clearTimeout(this.timer);
    const { active, client } = this;
    this.active = null;
    if (active === null) return;
    runIn(this.context, callUserCode, () => active.handleError(this.failure ?? error, client.connection));
  }
}

function receive(session, flags, bytes) {
  session.receive(flags, bytes);
}

/** The error of a query whose client was released before it had ended. */
function released() {
  return new Error('the client was released while its query was still open');
}

// Called once per row, so without a closure.
function tell(active, method, first, second) {
  if (active === null || typeof active[method] !== 'function') return;
  try {
    active[method](first, second);
  } catch (error) {
    throwAsync(error);
  }
}

/** `client.query` of a submittable; returns it. */
function submit(client, query, values, callback) {
  if (!query.callback) {
    if (typeof values === 'function') query.callback = values;
    else if (callback) query.callback = callback;
  }
  if (client.binary && !query.binary) query.binary = true;
  if (query._result && !query._result._types) query._result._types = client._types;
  const session = open(client, query);
  // An exception of `submit` reaches the caller of `query` where that is the one that submits, as in pg.
  if (session.thrown !== undefined) throw session.thrown;
  return query;
}

/** Gives `query` the connection when it is its turn; returns the raw session. */
function open(client, query) {
  const session = new RawSession(client, query);
  const limit = query.query_timeout || client.connectionParameters.query_timeout;
  if (limit) session.limit(limit);
  client._requests.add(session, undefined);
  return session;
}

/** Writes on the connection of `client`; returns the number of bytes that have not left. */
function transmit(client, bytes) {
  const { _rawSession: session, _handle: handle } = client;
  if (handle === null || !handle.open) return 0;
  if (session !== null) session.isWaitingForUs = false;
  if (session !== null) return Math.max(client._native.writeRaw(handle.id, session.id, bytes), 0);
  if (!handle.leased) {
    client.connection._readyExpected = 0;
    return 0;
  }
  const own = new RawSession(client, null);
  own.backlog = bytes;
  client._requests.add(own, undefined);
  return 0;
}

module.exports = { open, released, submit, transmit };
