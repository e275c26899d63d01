'use strict';

// pg's Client: one connection. Alone it owns a native pool of one whose connection is lent for life;
// a pool's client stands for a connection of that pool. Queries go to the core at once, in order; the
// events and messages that follow, and their order, are pg's. One class with pg's whole surface, hence
// its length.

const { EventEmitter } = require('node:events');
const { deprecate } = require('node:util');
const ClientConnection = require('./client/virtual-connection');
const ConnectionParameters = require('./connection-parameters');
const Query = require('./query');
const Statement = require('./statement/statement');
const TypeOverrides = require('./type-overrides');
const defaults = require('./defaults');
const { announce, announceSession } = require('./client/server-messages');
const { requestCancel } = require('./client/cancel-request');
const { connectToServer } = require('./client/connect');
const { escapeIdentifier, escapeLiteral } = require('./encode/escape');
const { fromNative } = require('./errors');
const { inContext } = require('./async/callback-context');
const { bridge } = require('./native/bridge');
const { pack } = require('./encode/request');
const { isFatal, isLoss, unexpected } = require('./client/connection-loss');
const { throwAsync } = require('./async/uncaught');
const { submit } = require('./client/submittable');
const { plainMethods } = require('./client/patched-methods');
const { command, isCommand } = require('./client/replication');
const { refusePaging, refuseSubmittable, whenAnswered } = require('./client/pipeline');
const { refuseUnserved, scramIterations } = require('./config/core-settings');
const { hide } = require('./config/secrets');
const { RowStream } = require('./client/row-stream');
const tracing = require('./monitor/tracing-channels');

const warnOfActiveQuery = deprecate(
  () => {},
  'Client.activeQuery is deprecated and will be removed in pg@9.0',
);
const warnOfQueryQueue = deprecate(
  () => {},
  'Client.queryQueue is deprecated and will be removed in pg@9.0.',
);
const warnOfPromise = deprecate(
  () => {},
  'Passing a custom Promise implementation to the Client/Pool constructor is deprecated and will be removed in pg@9.0.',
);
const warnOfQueueing = deprecate(
  () => {},
  'Calling client.query() when the client is already executing a query is deprecated and will be removed in pg@9.0. ' +
    'Use async/await or an external async flow control mechanism instead.',
);

function nothing() {}

// What pg keeps in two fields of its own. Tracers take the newest query from there, and put a callback of theirs
// in the place of its own.
const QUEUE = {
  _activeQuery: {
    configurable: true,
    get() {
      return this._sent.length === 0 ? null : this._sent[0].shown();
    },
  },
  _queryQueue: {
    configurable: true,
    get() {
      return [...this._sent.slice(1), ...this._waiting].map((statement) => statement.shown());
    },
  },
};

class Client extends EventEmitter {
  constructor(config) {
    super();
    const options = config || {};
    refuseUnserved(options);

    const parameters = new ConnectionParameters(config);
    this.connectionParameters = parameters;
    this.user = parameters.user;
    this.database = parameters.database;
    this.port = parameters.port;
    this.host = parameters.host;
    hide(this, 'password', parameters.password);
    this.replication = parameters.replication;

    if (options.Promise) warnOfPromise();
    this._Promise = options.Promise || Promise;
    this._types = new TypeOverrides(options.types);
    this._ending = false;
    this._ended = false;
    this._connecting = false;
    this._connected = false;
    this._connectionError = false;
    this._queryable = true;
    this._txStatus = null;
    this.enableChannelBinding = Boolean(options.enableChannelBinding);
    this.scramMaxIterations = scramIterations(options.scramMaxIterations);
    this.connection = new ClientConnection(this, {
      ssl: parameters.ssl,
      sslNegotiation: parameters.sslnegotiation,
    });
    this.connection.on('error', (error) => this._break(error));
    this.pipeline = Boolean(options.pipeline);
    this.binary = options.binary || defaults.binary;
    this.processID = null;
    this.secretKey = null;
    this.ssl = parameters.ssl || false;
    this.sslNegotiation = parameters.sslnegotiation || 'postgres';
    this._connectionTimeoutMillis = options.connectionTimeoutMillis || 0;

    // What the core needs to know, and what it has been given: out of sight of logs, it knows secrets.
    hide(this, '_options', typeof config === 'string' ? {} : options);
    hide(this, '_native', null);
    hide(this, '_link', null);
    hide(this, '_pool', null);
    hide(this, '_dialing', null);
    // The submittable that has the connection for itself.
    hide(this, '_session', null);
    hide(this, '_afterSession', null);
    hide(this, '_onAbandoned', null);
    // The error that somebody gave the connection to end by.
    hide(this, '_broken', null);
    // The CustomConnect of its pool, while its connection is made through a `connect` of its own.
    hide(this, '_customConnect', null);
    // Whether a pool has lent it to somebody.
    hide(this, '_borrowed', false);
    hide(this, '_maxResultBytes', options.maxResultBytes || 0);
    Object.defineProperties(this, QUEUE);
    this._waiting = [];
    this._sent = [];
    this._stranded = [];
    this._onEnd = [];
    this._ready = false;
    this._referenced = true;
    this._severed = false;
    this._fatal = null;
  }

  get activeQuery() {
    warnOfActiveQuery();
    return this._activeQuery;
  }

  get queryQueue() {
    warnOfQueryQueue();
    return this._queryQueue;
  }

  /**
   * Opens the connection. A client connects once.
   * @param callback `(error)` or `(null, client)`; without it a promise of the client is returned. It may
   *   come after `{ signal }`, an AbortSignal that ends the attempt
   */
  connect(callback, second) {
    if (tracing.enterTrace('connect')) return tracing.traceConnect(plainConnect, this, [callback, second]);
    let signal;
    if (callback !== null && typeof callback === 'object') {
      signal = callback.signal;
      callback = second;
    }
    if (callback) {
      this._connect(inContext(callback), signal);
      return undefined;
    }
    const promise = new this._Promise((resolve, reject) => {
      this._connect(
        (error) => (error === null || error === undefined ? resolve(this) : reject(error)),
        signal,
      );
    });
    // Cut short by our own `end`, whose caller need not have waited for the connect.
    this._onAbandoned = () => promise.then(nothing, nothing);
    return promise;
  }

  _connect(callback, signal) {
    if (this._connecting || this._connected) {
      const error = new Error('Client has already been connected. You cannot reuse a client.');
      process.nextTick(() => callback(error));
      return;
    }
    if (this._customConnect !== null) this._customConnect.connectByCore(callback);
    else connectToServer(this, callback, signal);
  }

  /**
   * Runs a statement. Forms: text or config or Query, then values, then a callback.
   * @throws TypeError for a null query and for a callback that is no function
   */
  query(config, values, callback) {
    if (config == null) throw new TypeError('Client was passed a null or undefined query');
    if (typeof config.submit === 'function') return this._queryObject(config, values, callback);
    if (tracing.enterTrace('query')) return tracing.traceQuery(plainQuery, this, [config, values, callback]);

    const statement = new Statement(this._types);
    statement.read(config, values, callback);
    let result;
    if (!statement.callback) {
      result = new this._Promise((resolve) => {
        statement.resolve = resolve;
      });
    } else if (typeof statement.callback !== 'function') {
      throw new TypeError('callback is not a function');
    } else {
      statement.callback = inContext(statement.callback);
    }
    this._enqueue(statement);
    return result;
  }

  _queryObject(query, values, callback) {
    if (this.pipeline && !(query instanceof Query)) return refuseSubmittable(this, query);
    if (!(query instanceof Query)) return submit(this, query, values, callback);
    if (!query.callback) {
      if (typeof values === 'function') query.callback = values;
      else if (callback) query.callback = callback;
    }
    const statement = query._toStatement(this._types);
    if (!query.callback) statement.callback = undefined;
    query._limited = Boolean(statement.queryTimeout || this.connectionParameters.query_timeout);
    this._enqueue(statement);
    return query;
  }

  _enqueue(statement) {
    statement.client = this;
    if (this.binary) statement.binary();
    if (!statement.queryTimeout) statement.queryTimeout = this.connectionParameters.query_timeout;
    if (statement.maxBytes === 0) statement.maxBytes = this._maxResultBytes;
    const misuse = refusePaging(this, statement) || statement.misuse();
    if (misuse === undefined && isCommand(this, statement)) command(this, statement);
    else this._admit(statement, misuse);
  }

  // Sends it, or keeps it until the connection is there; `misuse` is why it cannot be sent at all.
  _admit(statement, misuse) {
    const refusal = this._refusal() || misuse;
    if (refusal) {
      process.nextTick(() => {
        statement.fail(refusal);
        if (misuse) this._rest();
      });
      return;
    }
    if (!this.pipeline && (this._waiting.length > 0 || this._sent.length > 1)) warnOfQueueing();
    if (this._ready) this._send(statement);
    else this._waiting.push(statement);
  }

  _refusal() {
    if (!this._queryable) return new Error('Client has encountered a connection error and is not queryable');
    if (this._ending) return new Error('Client was closed and is not queryable');
    return undefined;
  }

  _send(statement) {
    statement.counted = this._referenced;
    const core = bridge();
    try {
      if (statement.isSession) {
        core.register(statement);
        this._sent.push(statement);
        statement.send();
        return;
      }
      const { buffer, length } = pack(statement);
      core.register(statement);
      this._sent.push(statement);
      this._native.send(this._link.id, statement.id, buffer, length);
    } catch (error) {
      if (statement.id !== 0) core.take(statement.id);
      this._drop(statement);
      process.nextTick(() => statement.fail(error));
    }
  }

  // Takes back what its caller no longer waits for.
  _withdraw(statement) {
    const index = this._waiting.indexOf(statement);
    if (index !== -1) this._waiting.splice(index, 1);
    else if (statement.id !== 0) this._native.cancel(statement.id);
  }

  _drop(statement) {
    const index = this._sent.indexOf(statement);
    if (index !== -1) this._sent.splice(index, 1);
  }

  // The connection is there: `link` is its side in the bridge, `native` the pool it belongs to.
  _attach(native, link) {
    this._native = native;
    this._link = link;
    this.processID = link.info.processID;
    this.secretKey = link.info.secretKey;
    link.client = this;
    this._connecting = false;
    this._connected = true;
    this._txStatus = 'I';
    announceSession(this, link.info);
  }

  // From here on queries go to the core at once; those asked for earlier go first.
  _begin() {
    this._ready = true;
    const waiting = this._waiting;
    this._waiting = [];
    for (const statement of waiting) this._send(statement);
  }

  _settled(statement, status) {
    this._drop(statement);
    this._txStatus = statusOf(status) ?? this._txStatus;
    try {
      statement.finish();
    } finally {
      if (!statement.isSession) this.connection.ready(this._txStatus);
      this._rest();
    }
  }

  _failed(statement, failure, status) {
    this._drop(statement);
    this._txStatus = statusOf(status) ?? this._txStatus;
    const error = fromNative(failure);
    if (isLoss(failure)) {
      // As in pg, what a lost connection takes along fails after the client has told of the loss.
      if (this._ended) process.nextTick(() => statement.fail(error));
      else this._stranded.push(statement);
      return;
    }
    // Inside a transaction an error is the end of it, whatever the record leaves unsaid.
    if (!status && this._txStatus === 'T') this._txStatus = 'E';
    const fatal = isFatal(failure);
    if (fatal) this._fatal = failure.code;
    try {
      statement.fail(error);
      if (failure.kind === 'database') this.connection.relay(error);
    } finally {
      // Behind a statement that hangs a pipeline is stuck.
      if (this.pipeline && error.message === 'Query read timeout') this._sever();
      if (!fatal) {
        if (!statement.isSession) this.connection.ready(this._txStatus);
        this._rest();
      }
    }
  }

  _rest() {
    if (this._sent.length === 0 && this._waiting.length === 0 && this._queryable) this.emit('drain');
  }

  // From the bridge: the server said something that no query asked for.
  _event(event) {
    announce(this, event);
  }

  // The connection is gone. `errors` are told one by one, unless the client itself wanted the end. Who
  // awaits a query that failed with the server's last words, or this very client, goes on before the loss
  // is told: what came in one batch from the core came one after the other from the server.
  _closed(errors) {
    if (this._fatal === null && errors.length === 0) this._bury(errors);
    else setImmediate(() => this._bury(errors));
  }

  _bury(errors) {
    if (this._broken !== null) errors = [this._broken];
    const wanted = this._ending && !this._severed;
    this._ended = true;
    this._ready = false;
    this._queryable = wanted;
    this._session = null;
    this.connection._gone();
    const lost = wanted ? new Error('Connection terminated') : (errors[errors.length - 1] ?? unexpected());
    for (const statement of [...this._stranded, ...this._waiting])
      process.nextTick(() => statement.fail(lost));
    this._stranded = [];
    this._waiting = [];
    const onEnd = this._onEnd;
    this._onEnd = [];
    process.nextTick(() => this.emit('end'));
    if (!wanted) this._tell(errors);
    this.connection.emit('end');
    for (const done of onEnd) done();
  }

  _tell(errors) {
    // Given back in the meantime: to the pool it is an idle client that died.
    if (this._pool !== null && !this._link.lent) {
      if (errors.length > 0) this._pool._delegate.tellIdleDeath(this, errors[0]);
      return;
    }
    for (const error of errors) {
      try {
        this.emit('error', error);
      } catch (uncaught) {
        throwAsync(uncaught);
      }
    }
  }

  // Somebody emitted an error on the connection or its stream: it is lost, with this error.
  _break(error) {
    if (this._isResting()) {
      this.emit('error', error);
      return;
    }
    this._broken = error;
    this._sever();
  }

  // The connection is cut from this side without a farewell, and reported as lost.
  _sever() {
    if (this._ended) return;
    this._severed = true;
    if (this._link !== null) this._native.closeConnection(this._link.id);
    else if (this._dialing !== null) this._dialing.abandon();
  }

  // Gives the connection back to its native pool, once; one of a pool is given back by its release.
  _return(destroy) {
    if (this._link === null || !this._link.open) return;
    if (!this._link.lent || this._pool !== null) {
      if (destroy) this._native.closeConnection(this._link.id);
      return;
    }
    this._link.lent = false;
    this._native.release(this._link.id, destroy);
  }

  /**
   * Closes the connection; a query under way fails with "Connection terminated".
   * @param callback called without arguments; without it a promise is returned
   */
  end(callback) {
    this._ending = true;
    const begun = this._connecting || this._connected;
    if (!begun || this._ended) {
      if (!callback) return this._Promise.resolve();
      callback();
      return undefined;
    }
    const promise = callback
      ? undefined
      : new this._Promise((resolve) => {
          callback = resolve;
        });
    this._onEnd.push(() => callback());
    whenAnswered(this, () => {
      if (this._link !== null) this._return(true);
      else if (this._dialing !== null) this._abandon();
    });
    return promise;
  }

  _abandon() {
    if (this._onAbandoned) this._onAbandoned();
    this._dialing.abandon();
  }

  // As under pg's pool, which listens to its idle clients: an error emitted on one is the end of it.
  emit(event, ...args) {
    if (event !== 'error' || !this._isResting()) return super.emit(event, ...args);
    this._pool._delegate.discard(this, args[0]);
    return true;
  }

  _isResting() {
    return this._pool !== null && this._link !== null && this._link.open && !this._link.lent && !this._ending;
  }

  /** Has the server of `client` cancel `query` when it is running, or withdraws it when it is waiting. */
  cancel(client, query) {
    const statement = query instanceof Query ? query._statement : query;
    const index = client._waiting.indexOf(statement);
    if (index !== -1) {
      client._waiting.splice(index, 1);
    } else if (statement && client._sent[0] === statement) {
      requestCancel(this, client.processID, client.secretKey, (error) => this.emit('error', error));
    } else if (statement && client._sent.includes(statement)) {
      client._native.cancel(statement.id);
    }
  }

  /**
   * The rows of one statement as an async iterable that holds two pages of them at most. The client does
   * nothing else meanwhile.
   */
  stream(text, values, options) {
    return new RowStream(() => Promise.resolve({ client: this, giveBack: () => {} }), text, values, options);
  }

  setTypeParser(oid, format, parser) {
    // A query of the pool is read with the pool's parsers; now that this client has its own, it has to
    // be known which client serves.
    if (this._pool !== null) this._pool._hasCustomClients = true;
    return this._types.setTypeParser(oid, format, parser);
  }

  getTypeParser(oid, format) {
    return this._types.getTypeParser(oid, format);
  }

  escapeIdentifier(text) {
    return escapeIdentifier(text);
  }

  escapeLiteral(text) {
    return escapeLiteral(text);
  }

  /** Lets the open connection keep the process alive again. */
  ref() {
    this._referenced = true;
    if (this._link !== null && this._link.open) bridge().setKeepsAlive(this._link, true);
  }

  /** The open connection no longer keeps the process alive. */
  unref() {
    this._referenced = false;
    if (this._link !== null) bridge().setKeepsAlive(this._link, false);
  }

  /** 'I' outside a transaction, 'T' in one, 'E' in a failed one; null before the connection is ready. */
  getTransactionStatus() {
    return this._txStatus;
  }

  /** The startup parameters, user and database among them. */
  getStartupConf() {
    const parameters = this.connectionParameters;
    const conf = { user: parameters.user, database: parameters.database };
    const name = parameters.application_name || parameters.fallback_application_name;
    if (name) conf.application_name = name;
    if (parameters.replication) conf.replication = String(parameters.replication);
    for (const limit of ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) {
      if (parameters[limit]) conf[limit] = String(parseInt(parameters[limit], 10));
    }
    if (parameters.options) conf.options = parameters.options;
    return conf;
  }
}

// A byte of the wire, or 0 for "nothing was said".
function statusOf(status) {
  return status ? String.fromCharCode(status) : undefined;
}

// `await using client = await pool.connect()`: given back, or ended if it stands alone.
async function dispose() {
  if (this._pool === null) await this.end();
  else if (this._borrowed) this.release();
}
if (Symbol.asyncDispose)
  Object.defineProperty(Client.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    value: dispose,
  });

Client.Query = Query;

const { connect: plainConnect, query: plainQuery } = Client.prototype;
// Looked at before anybody else gets hold of the class.
plainMethods(Client.prototype);

module.exports = Client;
