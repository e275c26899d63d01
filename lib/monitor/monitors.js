'use strict';

// The monitors of the tiers, made when they are first asked for, and one place to hear of all of them: `alert`,
// `clear` and `metrics` come with the value and the monitor. Its enumerable properties are the monitors and nothing
// else: `Object.values(monitors).forEach((monitor) => monitor.startMonitoring())`.

const { EventEmitter } = require('node:events');
const { ConnectionHealthMonitor } = require('./health-monitor');

class Monitors extends EventEmitter {
  constructor(names, getPool) {
    super();
    this._names = names;
    this._all = new Map();
    // EventEmitter's own fields among them.
    for (const name of Object.keys(this)) Object.defineProperty(this, name, { enumerable: false });
    for (const tier of names) {
      Object.defineProperty(this, tier, { enumerable: true, get: () => this._of(tier, () => getPool(tier)) });
    }
  }

  /** A monitor whose alerts and metrics are heard here too. */
  watch(pool, options) {
    const monitor = new ConnectionHealthMonitor(pool, options);
    monitor._parent = this;
    this._all.set(pool, monitor);
    return monitor;
  }

  /** Starts the monitors of all tiers, and those of `watch`; see ConnectionHealthMonitor. */
  startMonitoring(interval, options) {
    for (const tier of this._names) this[tier];
    for (const monitor of this._all.values()) monitor.startMonitoring(interval, options);
    return this;
  }

  stopMonitoring() {
    for (const monitor of this._all.values()) monitor.stopMonitoring();
    return this;
  }

  _of(tier, pool) {
    const found = pool();
    // With the tiers off several names lead to one pool, and so to one monitor.
    return this._all.get(found) || this.watch(found, { name: found.options.tier || tier });
  }
}

module.exports = { Monitors };
