'use strict';

// pg-pool's Pool on a native pool: the call forms of `connect`, `query`, `end` and our additions. The core counts,
// waits and closes; it reports to the delegate. Client objects are made when somebody will see one (clients.js).
//
// `pool.query` goes straight to the core where nobody could notice: no listener of leases, no patched method, no
// type parser or method set on a single client. Otherwise it is a checkout, a query and a release, as in pg.

const { EventEmitter } = require('node:events');
const Client = require('../client');
const Statement = require('../statement/statement');
const TypeOverrides = require('../type-overrides');
const { abortOn } = require('../async/abort-signal');
const { Checkout } = require('./checkout');
const { keepContext } = require('./connect-context');
const { PoolDelegate } = require('./delegate');
const { Shutdown } = require('./shutdown');
const { completed } = require('./options');
const { logPulse, logSupply } = require('./pg-pool-log');
const { addPgPoolMembers } = require('./pg-pool-members');
const { hide } = require('../config/secrets');
const { captureContext, inContext } = require('../async/callback-context');
const { bridge, loadNative } = require('../native/bridge');
const { plainMethods } = require('../client/patched-methods');
const { awaitOnConnect, hasOnConnect, openedNative } = require('./open');
const { leaseForStream } = require('./lease');
const { Listeners } = require('./listen');
const { Replicas, queryReplica } = require('./replicas');
const { returnToCore } = require('./return-to-core');
const leakDetection = require('../monitor/leak-detection');
const tracing = require('../monitor/tracing-channels');
const { callbackOrPromise } = require('../async/answer');
const { queryOnClient } = require('./query-on-client');
const { pack } = require('../encode/request');
const { transaction } = require('../retry/transaction');
const { checkOptions, refuseUnserved } = require('../config/core-settings');
const { poolChanges } = require('../config/pool-changes');
const { RowStream } = require('../client/row-stream');
const { foreignPool, isForeign } = require('./foreign-pool');
const { nextTick, setImmediate } = require('../async/timers');

const { query: plainQuery } = plainMethods(Client.prototype);

/**
 * The fields that `hide` gives a pool.
 * @typedef {object} HiddenFields
 * @property {boolean} _isLogged
 * @property {import('../native').NativePool|null} _native
 * @property {InstanceType<typeof PoolDelegate>} _delegate
 * @property {Client|null} _template
 * @property {TypeOverrides} _types
 * @property {Set<InstanceType<typeof import('./early-release').EarlyRelease>>} _earlyReleases
 * @property {Set<import('../native/bridge').ConnectionHandleType>} _lostLeases
 * @property {object} _context
 * @property {boolean} _interceptsConnects
 * @property {boolean} _looksUpHosts
 * @property {boolean} _hasCustomClients
 * @property {Map<number, object>} _leases
 * @property {boolean} _isMeasured
 * @property {boolean} _everyConnectionHasClient
 * @property {boolean} _sawFirstClient
 * @property {number} _maxResultBytes
 * @property {number} _queryTimeout
 * @property {boolean} _binary
 * @property {boolean} _isPrefilledOnly
 * @property {boolean} _isResting
 * @property {boolean} _holdsIdleTimeout
 * @property {InstanceType<typeof Listeners>|null} _listeners
 * @property {InstanceType<typeof Replicas>|null} _replicas
 */

const Emitter = /** @type {typeof EventEmitter & (new (...args: any[]) => HiddenFields)} */ (EventEmitter);

class Pool extends Emitter {
  /**
   * Opens nothing: the first query or checkout does. Throws where the native part is missing.
   * @param options see PoolConfig in index.d.ts; a copy is kept in `pool.options`
   * @param ClientClass the class of the pool's clients; ours, or a class derived from it
   */
  constructor(options, ClientClass) {
    super();
    const Clients = (options && options.Client) || ClientClass || Client;
    if (isForeign(Clients, Client)) return foreignPool(options, Clients, new.target, Pool);
    loadNative();
    refuseUnserved(options);
    checkOptions(options || {});
    this.options = completed(options);
    this.log = this.options.log || function () {};
    hide(this, '_isLogged', Boolean(this.options.log));
    this.Client = Clients;
    this.Promise = this.options.Promise || Promise;
    this.ending = false;
    this.ended = false;
    hide(this, '_native', null);
    hide(this, '_delegate', new PoolDelegate(this));
    // A client with the pool's options, until a connection takes it.
    hide(this, '_template', null);
    hide(this, '_types', new TypeOverrides(this.options.types));
    // Releases that came before the submittables of the client had ended.
    hide(this, '_earlyReleases', new Set());
    // Leased connections that are closed; the end of the pool does not wait for their release.
    hide(this, '_lostLeases', new Set());
    // The async context of what belongs to no request.
    hide(this, '_context', captureContext());
    // Whether the class of the clients has a `connect` of its own.
    hide(this, '_interceptsConnects', false);
    // Whether hosts are resolved by the application's own `dns.lookup`.
    hide(this, '_looksUpHosts', false);
    // A client has a `query` or type parsers of its own, so queries of the pool run on clients from now on.
    hide(this, '_hasCustomClients', false);
    // Leases under leak detection, by connection.
    hide(this, '_leases', new Map());
    // Whether the core measures this pool; true until it has said so.
    hide(this, '_isMeasured', true);
    // True once somebody has read `_clients`: every new connection gets a client at once.
    hide(this, '_everyConnectionHasClient', false);
    // False until a listener of `connect` or `onConnect` has had the first client: it may change it.
    hide(this, '_sawFirstClient', false);
    hide(this, '_maxResultBytes', this.options.maxResultBytes || 0);
    hide(this, '_queryTimeout', 0);
    hide(this, '_binary', false);
    // A pool that was filled ahead of its first use; until that its connections keep no process alive.
    hide(this, '_isPrefilledOnly', false);
    // A tier whose minimum is closed, because the test file that used it is over.
    hide(this, '_isResting', false);
    // The idle timeout is held until the next turn of the event loop, see return-to-core.js.
    hide(this, '_holdsIdleTimeout', false);
    // Its subscriptions to channels, from the first one on.
    hide(this, '_listeners', null);
    // The replicas that take its queries with `readOnly`, where it has any.
    hide(this, '_replicas', this.options.replica ? new Replicas(this, Pool, this.options.replica) : null);
  }

  /** All connections: leased, idle and those being opened. */
  get totalCount() {
    return this._native === null ? 0 : this._native.total;
  }

  /** Connections that wait for work. */
  get idleCount() {
    return this._native === null ? 0 : this._native.idle;
  }

  /** Queries and checkouts that wait for a connection. */
  get waitingCount() {
    return this._native === null ? 0 : this._native.waiting;
  }

  /** Connections past `maxLifetimeSeconds` that are still leased. */
  get expiredCount() {
    return this._native === null ? 0 : this._native.expired;
  }

  /** Each replica as it stands: whether it is used, its lag, how many queries it got and how many it gave back. */
  get replicas() {
    return this._replicas === null ? [] : this._replicas.status;
  }

  /**
   * Acquires a client; `client.release()` gives it back.
   * @param callback `(error, client, release)`; without it a promise of the client is returned. It may
   *   come after `{ signal }`, an AbortSignal that ends the wait
   */
  connect(callback, ...rest) {
    if (tracing.enterTrace('acquire')) return tracing.traceAcquire(plainConnect, this, [callback, ...rest]);
    let signal;
    if (callback !== null && typeof callback === 'object') {
      signal = callback.signal;
      [callback] = rest;
    }
    if (this.ending) {
      const error = new Error('Cannot use a pool after calling end on the pool');
      return callback ? callback(error) : this.Promise.reject(error);
    }
    const answer = callbackOrPromise(this.Promise, inContext(callback));
    const checkout = new Checkout(this, answer, leakDetection.startTracking(this, plainConnect));
    const refusal = signal === undefined || signal === null ? undefined : abortOn(checkout, signal);
    if (refusal === undefined) admit(this, checkout);
    else nextTick(() => checkout.fail(refusal));
    return answer.promise;
  }

  /**
   * Resolves once the pool has a connection, for readiness probes. Without one it waits as a checkout does.
   * @returns {Promise<void>} rejects with the last failure to connect, where there was one
   */
  async ready() {
    if (
      !this.ending &&
      bridge()
        .connectionsOf(this._delegate)
        .some((connection) => connection.open)
    )
      return;
    let client;
    try {
      // No retries: a probe wants its answer within the acquire timeout.
      client = await this._checkout({ attempts: 0 });
    } catch (error) {
      throw error.code === 'ACQUIRE_TIMEOUT' || error.code === 'CIRCUIT_OPEN'
        ? (error.cause ?? error)
        : error;
    }
    client.release();
  }

  // The checkout of a transaction, with its own deadline and attempts.
  _checkout(terms) {
    if (this.ending || this.connect !== plainConnect) return this.connect();
    const answer = callbackOrPromise(this.Promise);
    const checkout = new Checkout(this, answer, leakDetection.startTracking(this, this._checkout));
    checkout.terms = terms;
    admit(this, checkout);
    return answer.promise;
  }

  /**
   * Runs one statement on any connection. Forms: text or config, then values, then a callback.
   * @param callback `(error, result)`; without it a promise of the result is returned
   */
  query(text, values, callback) {
    if (typeof text === 'function') return refuseFunction(text);
    if (this._replicas !== null && text && text.readOnly) {
      const routed = queryReplica(this, text, values, callback);
      if (routed !== undefined) return routed.promise;
    }
    // What runs on a client is traced there.
    if (tracing.enterTrace('query') && canQueryDirectly(this) && !(text && text.submit)) {
      return tracing.traceQuery(plainPoolQuery, this, [text, values, callback]);
    }
    if (typeof values === 'function') {
      callback = values;
      values = undefined;
    }
    if (!canQueryDirectly(this) || (text && text.submit)) return queryOnClient(this, text, values, callback);
    if (this.ending || text == null) return refuseQuery(this, text, callback);

    const native = openedNative(this);
    const statement = new Statement(this._types);
    statement.pool = this;
    statement.read(text, values, undefined);
    let promise;
    if (callback) {
      statement.success = undefined;
      statement.callback = inContext(callback);
    } else {
      statement.callback = undefined;
      promise = new this.Promise((resolve) => {
        statement.resolve = resolve;
      });
    }
    if (this._binary) statement.binary();
    if (!statement.queryTimeout) statement.queryTimeout = this._queryTimeout;
    if (statement.maxBytes === 0) statement.maxBytes = this._maxResultBytes;
    const refusal = statement.validate();
    if (refusal === undefined) send(this, native, statement);
    else nextTick(() => statement.fail(refusal));
    return promise;
  }

  /**
   * The rows of one statement as an async iterable that holds two pages of them at most. A lease is acquired when the
   * first row is asked for, and released at the end, or when the iteration is left.
   */
  stream(text, values, options) {
    return new RowStream((signal) => leaseForStream(this, signal), text, values, options);
  }

  /**
   * Calls `handler` with each notification of a channel, on a connection of its own that is opened anew when it is lost.
   * @param options `onGap`, called after a loss with the time in which notifications were missed; `heartbeatMillis`
   * @returns {Promise} of a subscription, once the server has been told; `close` ends it
   */
  async listen(channel, handler, options) {
    if (this.ending) throw new Error('Cannot use a pool after calling end on the pool');
    if (this._listeners === null) this._listeners = new Listeners(this);
    return this._listeners.add(channel, handler, options);
  }

  /**
   * Refuses new work, rejects who waits for a connection, closes idle connections, waits for leased ones.
   * @param callback called when all are closed; without it a promise is returned
   */
  end(callback) {
    this.log('ending');
    if (this.ending) {
      const error = new Error('Called end on pool more than once');
      return callback ? callback(error) : this.Promise.reject(error);
    }
    this.ending = true;
    logPulse(this);
    const answer = callbackOrPromise(this.Promise, callback);
    const others = [this._listeners?.endAll(), this._replicas?.end()].filter(Boolean);
    const told = (error) => {
      if (others.length === 0) answer.callback(error);
      else Promise.allSettled(others).then(() => answer.callback(error));
    };
    if (this._native === null) {
      this.ended = true;
      nextTick(() => told());
      return answer.promise;
    }
    const shutdown = new Shutdown(this, told);
    for (const release of this._earlyReleases) release.close();
    for (const connection of this._lostLeases) returnToCore(this, connection, true);
    bridge().register(shutdown);
    this._native.end(shutdown.id);
    return answer.promise;
  }

  on(event, listener) {
    if (event === 'connect') awaitOnConnect(this);
    return super.on(event, listener);
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  prependListener(event, listener) {
    if (event === 'connect') awaitOnConnect(this);
    return super.prependListener(event, listener);
  }

  /**
   * Runs `work(client)` between BEGIN and COMMIT on one client, and all of it again when the server has
   * rolled it back. See docs/guide/retry.md.
   * @param options `isolationLevel`, `readOnly`, `deferrable`, `retries`, `retryDelay`, `retryOn`, `deadline`
   * @returns {Promise} of what `work` returns
   */
  transaction(work, options) {
    return transaction(this, work, options);
  }

  /**
   * Changes what may change while the pool runs.
   * @param {import('../config/pool-changes').PoolChanges} changes
   *   `retry`: 'on' or 'off'; `breaker`: 'enforce', 'metrics', 'forced-open' or 'off'; `failFast`; `max`:
   *   above a lowered one idle connections close now, leased ones when they come back; `min`
   */
  configure(changes = {}) {
    const { options, core } = poolChanges(this.options, changes);
    Object.assign(this.options, options);
    if (this._native !== null) this._native.configure(JSON.stringify(core));
    this._replicas?.configure();
  }

  _measure(on) {
    this.options.isMeasured = on;
    this._replicas?.measure(on);
    if (this._native === null) return;
    this._native.configure(JSON.stringify({ measured: on }));
    this._isMeasured = on;
  }

  // Nobody is led to this pool any more: its connections close as they become free. Who still holds it may go on.
  _abandon() {
    if (this._native === null || this.ending) return;
    this._native.configure(JSON.stringify({ min: 0, retire: true }));
    this._replicas?.abandon();
  }
}

function admit(pool, checkout) {
  const native = openedNative(pool);
  const core = bridge();
  core.register(checkout);
  try {
    const { deadline, attempts, base } = checkout.terms;
    if (pool._isLogged) logSupply(pool);
    const hasListeners = hasLeaseListeners(pool);
    // Callbacks and listeners are called after `connect` has returned.
    const atOnce = checkout.isPromised && !hasListeners && !pool._isLogged;
    const mayWait = atOnce || pool._interceptsConnects || hasListeners || native.idle === 0;
    const leased = native.connect(checkout.id, deadline, attempts, base, atOnce);
    if (leased !== 0) core.leasedAtOnce(checkout, leased);
    else if (mayWait) keepContext(checkout);
  } catch (error) {
    if (checkout.id !== 0) core.take(checkout.id);
    nextTick(() => checkout.fail(error));
  }
}

function send(pool, native, statement) {
  try {
    const { buffer, length } = pack(statement);
    const isSeen = pool._sawFirstClient || pool._looksUpHosts;
    if (pool._interceptsConnects || (isSeen && native.idle === 0)) keepContext(statement);
    native.query(bridge().register(statement), buffer, length);
  } catch (error) {
    if (statement.id !== 0) bridge().take(statement.id);
    nextTick(() => statement.fail(error));
  }
}

function hasLeaseListeners(pool) {
  return Boolean(pool.options.verify) || pool.listenerCount('acquire') > 0;
}

// Whether nobody could notice that a query of the pool had no client.
function canQueryDirectly(pool) {
  return (
    pool.connect === plainConnect &&
    !pool._hasCustomClients &&
    !pool._isLogged &&
    (pool._sawFirstClient || !hasOnConnect(pool)) &&
    pool.Client.prototype.query === plainQuery &&
    !pool.options.verify &&
    pool.listenerCount('acquire') === 0 &&
    pool.listenerCount('release') === 0
  );
}

function refuseFunction(callback) {
  setImmediate(() => {
    callback(new Error('Passing a function as the first parameter to pool.query is not supported'));
  });
  return undefined;
}

function refuseQuery(pool, text, callback) {
  let error;
  if (pool.ending) error = new Error('Cannot use a pool after calling end on the pool');
  else error = new TypeError('Client was passed a null or undefined query');
  if (!callback) return pool.Promise.reject(error);
  if (pool.ending) callback(error);
  else nextTick(() => callback(error));
  return undefined;
}

addPgPoolMembers(Pool.prototype);

const plainConnect = Pool.prototype.connect;
const plainPoolQuery = Pool.prototype.query;

module.exports = Pool;
