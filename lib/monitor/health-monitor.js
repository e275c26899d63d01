'use strict';

// A monitor of one pool: looks at it regularly, keeps the latest metrics, and tells of alerts. The core
// decides when an alert fires or clears; the clock is given to it with every look.
//
// Our pools are known to the core. Any other pool with pg's counts is watched by these, by its `release`
// events where it has them, and by what `recordError` is told.

const { EventEmitter } = require('node:events');
const { emitSafely } = require('./safe-emit');
const { measureDelay } = require('./event-loop-delay');
const { captureEveryStack, overdueLeases } = require('./leak-detection');
const { thresholdsFor } = require('../config/alert-thresholds');

const DEFAULT_INTERVAL_MILLIS = 5000;
const LONGEST_GAP_MILLIS = 120000;

class ConnectionHealthMonitor extends EventEmitter {
  /**
   * @param pool one of our pools, or any object with `totalCount`, `idleCount` and `waitingCount`
   * @param options `name`, `thresholds` (see AlertThresholds in index.d.ts), `leakMillis`; or the name
   */
  constructor(pool, options = {}) {
    super();
    const { name, thresholds, leakMillis } = typeof options === 'string' ? { name: options } : options;
    this.pool = pool;
    this.name = name || (pool && pool.options && pool.options.tier) || undefined;
    /** The latest metrics; null before the first look. */
    this.metrics = null;
    this._thresholds = thresholds;
    this._leakMillis = leakMillis;
    this._operations = 0;
    this._errors = 0;
    this._lastError = null;
    this._watch = null;
    this._timer = null;
    this._release = () => {};
    this._foreign = this._native() === undefined;
    if (this._foreign) this._listen();
  }

  /** Looks at once and then every `interval` milliseconds; keeps no process alive. */
  startMonitoring(interval = DEFAULT_INTERVAL_MILLIS) {
    if (!(interval > 0)) throw new TypeError('the interval must be a number of milliseconds above 0');
    this.stopMonitoring();
    this._delay = measureDelay();
    const captureFewStacks = captureEveryStack();
    this._release = () => {
      captureFewStacks();
      this._delay.done();
      this._delay = undefined;
    };
    this._open(interval);
    this.updateMetrics();
    this._timer = setInterval(() => this.updateMetrics(), interval);
    this._timer.unref();
    return this;
  }

  stopMonitoring() {
    clearInterval(this._timer);
    this._timer = null;
    this._release();
    this._release = () => {};
    if (this._watch !== null) this._watch.close();
    this._watch = null;
    return this;
  }

  /** Looks now. `at`: milliseconds of a clock that only goes forward; for tests. */
  updateMetrics(at = performance.timeOrigin + performance.now()) {
    if (this._watch === null) this._open(0);
    const lag = this._delay ? this._delay.p99() : null;
    const leaks = this._foreign ? [] : overdueLeases(this.pool, this._leakMillis);
    const context = JSON.stringify({ eventLoopLag: lag, leaks });
    const seen = JSON.parse(this._watch.look(at, this._subject(), context));
    const { changes, ...metrics } = seen;
    this.metrics = {
      at,
      ...metrics,
      name: this.name || metrics.name,
      eventLoopLag: lag,
      leaks,
      recordedErrors: this._errors,
      lastError: this._lastError,
    };
    this._tell('metrics', this.metrics);
    for (const change of changes) {
      const alert = { ...change, tier: this.name || change.tier, reminder: change.turn === 'reminded' };
      this._tell(change.turn === 'cleared' ? 'clear' : 'alert', alert);
    }
    return this.metrics;
  }

  /** Counts an error that the application saw. Of our pools every failed statement is counted already. */
  recordError(error) {
    this._errors++;
    this._lastError = {
      at: Date.now(),
      code: error && error.code ? String(error.code) : null,
      name: error && error.name,
    };
  }

  _tell(event, value) {
    emitSafely(this, event, value);
    if (this._parent) emitSafely(this._parent, event, value, this);
  }

  _open(interval) {
    const { Watch } = require('../native');
    const longestGapMillis = Math.max(LONGEST_GAP_MILLIS, 3 * interval);
    this._watch = new Watch(thresholdsFor({ longestGapMillis, ...this._thresholds }));
  }

  _native() {
    return this.pool ? this.pool._native : undefined;
  }

  // The core's number of the pool, 0 while it is not open; of a foreign pool its counts.
  _subject() {
    if (!this._foreign) return this.pool._native === null ? 0 : this.pool._native.vitals;
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
    this.pool.on('release', (error) => {
      this._operations++;
      if (error) this.recordError(error);
    });
    this.pool.on('error', (error) => this.recordError(error));
  }
}

module.exports = { ConnectionHealthMonitor };
