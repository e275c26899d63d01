'use strict';

// A monitor of one pool: samples it regularly, keeps the latest metrics, emits alerts and writes a line per sample.
// The core decides when an alert fires or clears; it gets the time with every sample.
//
// The core knows the pools of this package. Any other pool with pg's counts is watched by these counts, by its
// events `release` and `error` where it has them, and by `recordError`.

const { EventEmitter } = require('node:events');
const { Console } = require('./console-lines');
const { emitSafely } = require('./safe-emit');
const { measureDelay } = require('./event-loop-delay');
const { captureEveryStack, overdueLeases } = require('./leak-detection');
const { thresholdsFor } = require('../config/alert-thresholds');
const { clearInterval, epochNow, setInterval } = require('../async/timers');

const DEFAULT_INTERVAL_MILLIS = 30000;
const LONGEST_GAP_MILLIS = 120000;
const UNKNOWN = {
  at: null,
  connections: null,
  waiting: null,
  oldestWait: null,
  interval: null,
  minute: null,
  values: { waiting: null, acquire: null, error_rate: null, utilisation: null },
  breaker: 'closed',
  lastConnectError: null,
  firing: [],
  eventLoopLag: null,
  leaks: [],
};

/** @typedef {{ _parent?: EventEmitter }} Watched `_parent`: Monitors, where it has made the monitor */

const Emitter = /** @type {typeof EventEmitter & (new (...args: any[]) => Watched)} */ (EventEmitter);

class ConnectionHealthMonitor extends Emitter {
  /**
   * @param pool one of our pools, or any object with `totalCount`, `idleCount` and `waitingCount`
   * @param options `name`, `thresholds` (see AlertThresholds in index.d.ts), `leakMillis`; or the name
   */
  constructor(pool, options = {}) {
    super();
    const { name, thresholds, leakMillis } = typeof options === 'string' ? { name: options } : options;
    this.pool = pool;
    this.name = name || (pool && pool.options && pool.options.tier) || undefined;
    /** The timer of `startMonitoring`; null while it is stopped. */
    this.intervalId = null;
    this._thresholds = thresholds;
    this._leakMillis = leakMillis;
    this._operations = 0;
    this._errors = 0;
    this._lastError = null;
    this._watch = null;
    this._console = null;
    this._release = () => {};
    this._isForeign = this._native() === undefined;
    this._listen();
    /** The latest metrics. */
    this.metrics = { ...UNKNOWN, ...this._counts(0), name: this.name ?? null };
  }

  /**
   * Samples at once and then every `interval` milliseconds; keeps no process alive.
   * @param {number} [interval]
   * @param {{ log?: object|false }} [options] `log`: a console for a line per sample and per change of an alert;
   *   false: none
   */
  startMonitoring(interval = DEFAULT_INTERVAL_MILLIS, { log } = {}) {
    if (!(interval > 0)) throw new TypeError('the interval must be a number of milliseconds above 0');
    this.stopMonitoring();
    this._delay = measureDelay();
    this._console = Console.of(log, this.pool);
    const captureFewStacks = captureEveryStack();
    this._release = () => {
      captureFewStacks();
      this._delay.done();
      this._delay = undefined;
      this._console = null;
    };
    this._open(interval);
    this.updateMetrics();
    this.intervalId = setInterval(() => this.updateMetrics(), interval);
    this.intervalId.unref();
    return this;
  }

  stopMonitoring() {
    clearInterval(this.intervalId);
    this.intervalId = null;
    this._release();
    this._release = () => {};
    if (this._watch !== null) this._watch.close();
    this._watch = null;
    return this;
  }

  /** Samples now. `at`: milliseconds of a clock that only goes forward; for tests. */
  updateMetrics(at = epochNow()) {
    if (this._watch === null) this._open(0);
    const eventLoopLag = this._delay ? this._delay.p99() : null;
    const leaks = this._isForeign ? [] : overdueLeases(this.pool, this._leakMillis);
    const context = JSON.stringify({ eventLoopLag, leaks });
    const { changes, errors, ...seen } = JSON.parse(this._watch.sample(at, this._subject(), context));
    const name = this.name || seen.name;
    this.metrics = { at, ...seen, ...this._counts(errors ?? 0), name, eventLoopLag, leaks };
    if (this._console) this._console.sample(this.metrics);
    this._tell('metrics', this.metrics);
    for (const change of changes) {
      const alert = { ...change, tier: this.name || change.tier, reminder: change.turn === 'reminded' };
      if (this._console) this._console.alert(alert);
      this._tell(change.turn === 'cleared' ? 'clear' : 'alert', alert);
    }
    return this.metrics;
  }

  /** Counts an error that the application saw. The core counts every failed statement of our pools itself. */
  recordError(error) {
    this._errors++;
    this._lastError = {
      message: error && error.message !== undefined ? String(error.message) : String(error),
      timestamp: new Date(),
      code: error && error.code ? String(error.code) : null,
      name: error && error.name,
    };
  }

  // Counts under the names that monitors of pg's pools commonly have. An error that the application records is among
  // those that the core has counted.
  _counts(failedOperations) {
    const { totalCount = 0, idleCount = 0, waitingCount = 0 } = this.pool || {};
    return {
      totalConnections: totalCount,
      idleConnections: idleCount,
      waitingRequests: waitingCount,
      errors: Math.max(failedOperations, this._errors),
      recordedErrors: this._errors,
      lastError: this._lastError,
    };
  }

  _tell(event, value) {
    emitSafely(this, event, value);
    if (this._parent) emitSafely(this._parent, event, value, this);
  }

  _open(interval) {
    const { Monitor } = require('../native');
    const longestGapMillis = Math.max(LONGEST_GAP_MILLIS, 3 * interval);
    this._watch = new Monitor(
      thresholdsFor(this._thresholds, { longestGapMillis, ...this.pool?.options?.alerts }),
    );
  }

  _native() {
    return this.pool ? this.pool._native : undefined;
  }

  // The core's number of the pool, 0 while it is not open; of a foreign pool its counts.
  _subject() {
    if (!this._isForeign) return this.pool._native === null ? 0 : this.pool._native.metricsId;
    const { totalCount, idleCount, waitingCount, options } = this.pool;
    const count = (value) => (Number.isInteger(value) && value >= 0 ? value : 0);
    const total = count(totalCount);
    const idle = Math.min(count(idleCount), total);
    const max = options && Number.isInteger(options.max) ? options.max : null;
    return JSON.stringify({
      name: this.name || 'pool',
      idle,
      used: total - idle,
      waiting: count(waitingCount),
      max,
      operations: Math.max(this._operations, this._errors),
      faults: this._errors,
    });
  }

  _listen() {
    if (!this.pool || typeof this.pool.on !== 'function') return;
    this.pool.on('error', (error) => this.recordError(error));
    // A listener for `release` would have our pools make a client for every query.
    if (!this._isForeign) return;
    this.pool.on('release', (error) => {
      this._operations++;
      if (error) this.recordError(error);
    });
  }
}

module.exports = { ConnectionHealthMonitor };
