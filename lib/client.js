'use strict';

// pg's Client: one connection. Alone it owns a native pool of one whose connection is leased for life; a pool's client
// stands for a connection of that pool. Its state is in session-state, its requests are in request-queue; the events
// and messages that follow, and their order, are pg's. One class with pg's whole surface, hence its length: tracers
// rewrite the source of `query` and `connect`, so both stay in this file.

const { EventEmitter } = require('node:events');
const { deprecate } = require('node:util');
const VirtualConnection = require('./client/virtual-connection');
const ConnectionParameters = require('./connection-parameters');
const Query = require('./query');
const Statement = require('./statement/statement');
const TypeOverrides = require('./type-overrides');
const defaults = require('./defaults');
const { announce, announceSession } = require('./client/server-messages');
const { requestCancel } = require('./client/cancel-request');
const { connectToServer } = require('./client/connect');
const { escapeIdentifier, escapeLiteral } = require('./encode/escape');
const { captureContext, inContext, runIn } = require('./async/callback-context');
const { bridge, loadNative } = require('./native/bridge');
const { failWith, giveBack } = require('./client/connection-loss');
const { submit } = require('./client/submittable');
const { plainMethods } = require('./client/patched-methods');
const { command, isCommand } = require('./client/replication');
const { NEW, moveTo } = require('./client/session-state');
const { RequestQueue } = require('./client/request-queue');
const { refusePaging, refuseSubmittable, whenAnswered } = require('./client/pipeline');
const { refuseUnserved, scramIterations } = require('./config/core-settings');
const { hide } = require('./config/secrets');
const { RowStream } = require('./client/row-stream');
const tracing = require('./monitor/tracing-channels');
const { nextTick } = require('./async/timers');

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
function nothing() {}

// pg's `_activeQuery` and `_queryQueue`: tracers (dd-trace) read the newest query there and replace its callback.
const QUERY_FIELDS = {
  _activeQuery: {
    configurable: true,
    get() {
      return this._requests.active;
    },
  },
  _queryQueue: {
    configurable: true,
    get() {
      return this._requests.queued;
    },
  },
};

/**
 * The fields that `hide` and QUERY_FIELDS give a client.
 * @typedef {object} HiddenFields
 * @property {string|function|null} password
 * @property {object} _options
 * @property {import('./client/session-state').SessionState} _sessionState
 * @property {InstanceType<typeof RequestQueue>} _requests
 * @property {import('./native').NativePool|null} _native
 * @property {import('./native/bridge').ConnectionHandleType|null} _handle
 * @property {import('./pool/pool')|null} _pool
 * @property {object|null} _context
 * @property {import('./client/connect').ConnectRequestType|null} _connectRequest
 * @property {import('./client/submittable').RawSessionType|null} _rawSession
 * @property {InstanceType<typeof import('./pool/early-release').EarlyRelease>|null} _earlyRelease
 * @property {(() => void)|null} _onAbandoned
 * @property {InstanceType<typeof import('./pool/custom-connect').CustomConnect>|null} _customConnect
 * @property {boolean} _isLeased
 * @property {{ begin: function }|null} _nesting
 * @property {number} _maxResultBytes
 * @property {(() => void)[]} _onEnd
 * @property {boolean} _referenced
 * @property {object|null} _activeQuery
 * @property {object[]} _queryQueue
 */

const Emitter = /** @type {typeof EventEmitter & (new (...args: any[]) => HiddenFields)} */ (EventEmitter);

class Client extends Emitter {
  constructor(config) {
    super();
    const options = config || {};
    loadNative();
    refuseUnserved(options);

    /** @type {any} more than its public type has */
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
    this.connection = new VirtualConnection(this, {
      ssl: parameters.ssl,
      sslNegotiation: parameters.sslnegotiation,
    });
    this.connection.on('error', (error) => failWith(this, error));
    this.pipeline = Boolean(options.pipeline);
    this.binary = options.binary || defaults.binary;
    this.processID = null;
    this.secretKey = null;
    this.ssl = parameters.ssl || false;
    this.sslNegotiation = parameters.sslnegotiation || 'postgres';
    this._connectionTimeoutMillis = options.connectionTimeoutMillis || 0;

    // Fields of ours are hidden from logs: some know secrets.
    hide(this, '_options', typeof config === 'string' ? {} : options);
    hide(this, '_sessionState', NEW);
    hide(this, '_requests', new RequestQueue(this));
    // The native pool that owns the connection, and the connection in it.
    hide(this, '_native', null);
    hide(this, '_handle', null);
    hide(this, '_pool', null);
    // The async context of its events: that of the call that the connection was opened for.
    hide(this, '_context', null);
    hide(this, '_connectRequest', null);
    // The submittable that has the connection for itself.
    hide(this, '_rawSession', null);
    // The release by its holder, where that came before its submittables had ended.
    hide(this, '_earlyRelease', null);
    hide(this, '_onAbandoned', null);
    // The CustomConnect of its pool, while its connection is made through a `connect` of its own.
    hide(this, '_customConnect', null);
    // Whether a pool has leased it to somebody.
    hide(this, '_isLeased', false);
    // The transaction of its pool that it is in.
    hide(this, '_nesting', null);
    hide(this, '_maxResultBytes', options.maxResultBytes || 0);
    hide(this, '_onEnd', []);
    hide(this, '_referenced', true);
    Object.defineProperties(this, QUERY_FIELDS);
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
    // The rejection of a connect that `end` cuts short is nobody's fault: nobody need wait for it.
    this._onAbandoned = () => promise.then(nothing, nothing);
    return promise;
  }

  _connect(callback, signal) {
    if (this._connecting || this._connected) {
      const error = new Error('Client has already been connected. You cannot reuse a client.');
      nextTick(() => callback(error));
      return;
    }
    this._context = captureContext();
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
    query._context = captureContext();
    query._limited = Boolean(statement.queryTimeout || this.connectionParameters.query_timeout);
    this._enqueue(statement);
    return query;
  }

  _enqueue(statement) {
    const invalid = this._adopt(statement);
    if (invalid === undefined && isCommand(this, statement)) command(this, statement);
    else this._requests.add(statement, invalid);
  }

  // Makes a statement one of this client's; the error of one that cannot be sent.
  _adopt(statement) {
    statement.client = this;
    if (this.binary) statement.binary();
    if (!statement.queryTimeout) statement.queryTimeout = this.connectionParameters.query_timeout;
    if (statement.maxBytes === 0) statement.maxBytes = this._maxResultBytes;
    return refusePaging(this, statement) || statement.validate();
  }

  // From the owner of the connection: it is open. `handle` is that of the bridge, `native` its pool.
  _attach(native, handle) {
    this._native = native;
    this._handle = handle;
    this.processID = handle.info.processID;
    this.secretKey = handle.info.secretKey;
    handle.client = this;
    this._context ??= handle.context;
    moveTo(this, 'connected');
    this._txStatus = 'I';
    announceSession(this, handle.info);
  }

  // Whoever connected has been told: requests go to the core at once from here on, those asked for earlier first.
  _begin() {
    moveTo(this, 'ready');
    if (this._sessionState.name === 'ready') this._requests.flush();
    else giveBack(this, true);
  }

  // From the bridge: the server said something that no query asked for.
  _event(event) {
    runIn(this._context, announce, this, event);
  }

  /**
   * Closes the connection; a query under way fails with "Connection terminated".
   * @param callback called without arguments; without it a promise is returned
   */
  end(callback) {
    moveTo(this, 'ending');
    if (this._sessionState.name === 'new' || this._ended) {
      if (!callback) return this._Promise.resolve();
      callback();
      return undefined;
    }
    let promise;
    if (callback) callback = inContext(callback);
    else
      promise = new this._Promise((resolve) => {
        callback = resolve;
      });
    this._onEnd.push(() => callback());
    whenAnswered(this, () => {
      if (this._handle !== null) giveBack(this, true);
      else if (this._connectRequest !== null) this._abandonConnect();
    });
    return promise;
  }

  _abandonConnect() {
    if (this._onAbandoned) this._onAbandoned();
    this._connectRequest.abandon();
  }

  // As under pg's pool, which listens to its idle clients: an error emitted on one is the end of it.
  emit(event, ...args) {
    if (event !== 'error' || !this._isIdleInPool()) return super.emit(event, ...args);
    this._pool._delegate.discard(this, args[0]);
    return true;
  }

  _isIdleInPool() {
    return (
      this._pool !== null &&
      this._handle !== null &&
      this._handle.open &&
      !this._handle.leased &&
      !this._ending
    );
  }

  /** Has the server of `client` cancel `query` when it is running, or withdraws it when it is waiting. */
  cancel(client, query) {
    const requests = client._requests;
    const request = requests.find(query);
    if (request === undefined) return;
    if (requests.isActive(request)) {
      requestCancel(this, client.processID, client.secretKey, (error) => this.emit('error', error));
    } else {
      requests.withdraw(request);
    }
  }

  /**
   * The rows of one statement as an async iterable that holds two pages of them at most. The client does
   * nothing else meanwhile.
   */
  stream(text, values, options) {
    return new RowStream(() => Promise.resolve({ client: this, release: () => {} }), text, values, options);
  }

  /**
   * Runs `work(client)` inside a savepoint of the transaction that `pool.transaction` has begun on this client. An
   * error undoes it up to the savepoint. See docs/guide/retry.md.
   * @returns {Promise} of what `work` returns
   */
  transaction(work, options) {
    return this._nesting === null
      ? this._Promise.reject(noTransaction())
      : this._nesting.begin(work, options);
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
    if (this._handle !== null && this._handle.open) bridge().setKeepsAlive(this._handle, true);
  }

  /** The open connection no longer keeps the process alive. */
  unref() {
    this._referenced = false;
    if (this._handle !== null) bridge().setKeepsAlive(this._handle, false);
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

function noTransaction() {
  const error = new Error('client.transaction is for the client of a pool.transaction, while that runs');
  return Object.assign(error, { code: 'NO_TRANSACTION' });
}

// `await using client = await pool.connect()` gives it back; one that stands alone is ended.
async function dispose() {
  if (this._pool === null) await this.end();
  else if (this._isLeased) this.release();
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
