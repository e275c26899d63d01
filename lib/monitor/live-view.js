'use strict';

// What the live page shows: every pool of the process, sampled every two seconds, with the points of the last
// 15 minutes, the latest alerts and the latest notable events. Its size is bounded, whatever happens.

const { EventEmitter } = require('node:events');
const { measureDelay } = require('./event-loop-delay');
const { captureEveryStack, overdueLeases, poolNumbered } = require('./leak-detection');
const { metrics } = require('./metrics');
const { thresholdsFor } = require('../config/alert-thresholds');
const { Incident } = require('./incident');
const { clearInterval, epochNow, setInterval } = require('../async/timers');

const INTERVAL_MILLIS = 2000;
const SPAN_MILLIS = 15 * 60 * 1000;
const KEPT = 100;

/** What a point holds, in this order. Times in milliseconds, rates per second. */
const FIELDS = [
  'at',
  'idle',
  'used',
  'connecting',
  'waiting',
  'throughput',
  'errors',
  'acquireP50',
  'acquireP95',
  'acquireP99',
  'queryP50',
  'queryP95',
  'queryP99',
  'breaker',
];
const BREAKER = { closed: 0, open: 2 };

class LiveView extends EventEmitter {
  /** @param {{ interval?: number, thresholds?: object }} [options] */
  constructor({ interval = INTERVAL_MILLIS, thresholds } = {}) {
    super();
    this.setMaxListeners(0);
    this.interval = interval;
    this.pools = new Map();
    this.alerts = [];
    this.events = [];
    this.eventLoopLag = null;
    this.at = 0;
    this._number = 0;
    this._latest = new Map();
    this._thresholds = thresholds;
    // Wrong limits are told to who opens the view, not at the first sample.
    thresholdsFor(thresholds);
    this._delay = measureDelay();
    this._captureFewStacks = captureEveryStack();
    this.sample();
    this._timer = setInterval(() => this.sample(), interval);
    this._timer.unref();
  }

  /** Samples every pool, keeps that, and emits what is new as `sample`. */
  sample(at = epochNow()) {
    this.at = at;
    this.eventLoopLag = this._delay.p99();
    const open = metrics().pools;
    for (const id of [...this.pools.keys()].filter((known) => !open.some((pool) => pool.id === known)))
      this._forget(id);
    const alerts = [];
    const events = this._newEvents();
    const pools = open.map((pool) => this._samplePool(pool, at, alerts));
    keep(this.alerts, alerts);
    keep(this.events, this._withoutRepeats(events));
    this.emit('sample', { at, eventLoopLag: this.eventLoopLag, pools, alerts, events });
  }

  /** All that is kept, for a page that was just opened. */
  history() {
    const pools = [...this.pools.values()].map(({ state, points }) => ({ ...state, points }));
    return {
      at: this.at,
      eventLoopLag: this.eventLoopLag,
      span: SPAN_MILLIS,
      fields: FIELDS,
      pools,
      alerts: this.alerts,
      events: this.events,
    };
  }

  close() {
    clearInterval(this._timer);
    this._delay.done();
    this._captureFewStacks();
    for (const id of [...this.pools.keys()]) this._forget(id);
  }

  _samplePool(pool, at, alerts) {
    const own = poolNumbered(pool.id);
    const known = this.pools.get(pool.id) || this._add(pool.id, own?.options.alerts);
    const leaks = own === undefined ? [] : overdueLeases(own);
    const context = { eventLoopLag: this.eventLoopLag, leaks };
    const seen = JSON.parse(known.monitor.sample(at, pool.id, JSON.stringify(context)));
    alerts.push(...seen.changes.map((change) => ({ ...change, at })));
    const point = pointOf(seen, at);
    known.points.push(point);
    while (known.points[0][0] < at - SPAN_MILLIS) known.points.shift();
    known.incident.sample(pool, seen, at);
    known.state = { ...stateOf(pool, seen), ...known.incident.state() };
    return { ...known.state, point };
  }

  _add(id, alerts) {
    const { Monitor } = require('../native');
    const known = {
      monitor: new Monitor(thresholdsFor(alerts, this._thresholds)),
      points: [],
      state: null,
      incident: new Incident(),
    };
    this.pools.set(id, known);
    return known;
  }

  _forget(id) {
    const { state } = this.pools.get(id);
    if (state !== null) this._latest.delete(state.name);
    this.pools.get(id).monitor.close();
    this.pools.delete(id);
  }

  _newEvents() {
    const events = JSON.parse(require('../native').Telemetry.entries(this._number));
    if (events.length > 0) this._number = events[events.length - 1].number;
    return events.slice(-KEPT);
  }

  // A connect that fails like the one before it is counted there, so that an outage does not push away its beginning.
  _withoutRepeats(events) {
    return events.flatMap((event) => {
      const latest = this._latest.get(event.pool);
      if (
        latest !== undefined &&
        event.event === 'connect_failed' &&
        latest.event === event.event &&
        latest.fields.error === event.fields.error
      ) {
        Object.assign(latest, { count: latest.count + 1, at: event.at });
        return [];
      }
      const kept = { ...event, count: 1, first: event.at };
      this._latest.set(event.pool, kept);
      return [kept];
    });
  }
}

function keep(list, more) {
  list.push(...more);
  if (list.length > KEPT) list.splice(0, list.length - KEPT);
}

function pointOf(seen, at) {
  const { connections, waiting, interval, breaker } = seen;
  const seconds = interval && interval.seconds > 0 ? interval.seconds : null;
  const acquire = (interval && interval.acquire) || {};
  const query = (interval && interval.operation) || {};
  const values = [
    at,
    connections && connections.idle,
    connections && connections.used,
    connections && connections.connecting,
    waiting,
    interval && interval.throughput,
    seconds && interval.errors / seconds,
    acquire.p50,
    acquire.p95,
    acquire.p99,
    query.p50,
    query.p95,
    query.p99,
    BREAKER[breaker],
  ];
  return values.map((value) => (typeof value === 'number' ? Math.round(value * 100) / 100 : null));
}

const SHOWN = [
  'id',
  'name',
  'connections',
  'waiting',
  'errorsByClass',
  'breaker',
  'breakers',
  'breakerStops',
  'retries',
  'timeouts',
  'opened',
  'connectFailures',
  'closed',
  'leaks',
  'retriesDenied',
  'breakerRejected',
  'failovers',
  'adaptive',
  'commitsUnknown',
];

function stateOf(pool, { firing, lastConnectError, oldestWait, minute }) {
  const shown = Object.fromEntries(SHOWN.map((name) => [name, pool[name]]));
  return { ...shown, firing, lastConnectError, oldestWait, minute };
}

module.exports = { LiveView };
