'use strict';

// What the live page shows: every pool of the process, sampled every two seconds, with the points of the last
// 15 minutes, and what happened: alerts, slow queries, retries, other notable events. Its size is bounded, whatever
// happens.

const os = require('node:os');
const path = require('node:path');
const { EventEmitter } = require('node:events');
const { ofAlerts, ofEvents, ofSlowQueries } = require('./event-groups');
const { measureDelay } = require('./event-loop-delay');
const { captureEveryStack, overdueLeases, poolNumbered } = require('./leak-detection');
const { metrics } = require('./metrics');
const { thresholdsFor } = require('../config/alert-thresholds');
const { Incident } = require('./incident');
const { clearInterval, epochNow, setInterval } = require('../async/timers');

const INTERVAL_MILLIS = 2000;
const SPAN_MILLIS = 15 * 60 * 1000;
// An operator has pages of many processes open.
const PROCESS = {
  script: process.argv[1] === undefined ? null : path.basename(process.argv[1]),
  host: os.hostname(),
  pid: process.pid,
  node: process.version,
  version: require('../../package.json').version,
};

// What has a list of its own.
const LISTED = ['query', 'retry', 'alert'];

/** What a point holds, in this order. Times in milliseconds, rates per second. */
const FIELDS = [
  'at',
  'idle',
  'used',
  'connecting',
  'limit',
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
    this.happened = {
      alerts: ofAlerts(),
      slowQueries: ofSlowQueries(),
      retries: ofEvents(),
      events: ofEvents(),
    };
    // Events that came too fast to be kept.
    this.missed = 0;
    this.eventLoopLag = null;
    this.at = 0;
    this._number = 0;
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
    const open = byImportance(metrics().pools);
    for (const id of [...this.pools.keys()].filter((known) => !open.some(({ pool }) => pool.id === known)))
      this._forget(id);
    const alerts = [];
    const pools = open.map(({ pool, own }, place) => this._samplePool(pool, own, place, at, alerts));
    const happened = this._whatHappened(alerts);
    this.emit('sample', { ...this._now(), pools, ...happened });
  }

  /** All that is kept, for a page that was just opened. */
  history() {
    const known = [...this.pools.values()].sort((one, other) => one.place - other.place);
    const pools = known.map(({ state, points }) => ({ ...state, points }));
    const happened = Object.entries(this.happened).map(([name, groups]) => [name, groups.all()]);
    return { ...this._now(), span: SPAN_MILLIS, fields: FIELDS, pools, ...Object.fromEntries(happened) };
  }

  close() {
    clearInterval(this._timer);
    this._delay.done();
    this._captureFewStacks();
    for (const id of [...this.pools.keys()]) this._forget(id);
  }

  _samplePool(pool, own, place, at, alerts) {
    const known = this.pools.get(pool.id) || this._add(pool.id, own?.options.alerts);
    known.place = place;
    const leaks = own === undefined ? [] : overdueLeases(own);
    const context = { eventLoopLag: this.eventLoopLag, leaks };
    const seen = JSON.parse(known.monitor.sample(at, pool.id, JSON.stringify(context)));
    alerts.push(...seen.changes.map((change) => asEvent(change, pool.name, at)));
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
      place: 0,
      points: [],
      state: null,
      incident: new Incident(),
    };
    this.pools.set(id, known);
    return known;
  }

  _forget(id) {
    this.pools.get(id).monitor.close();
    this.pools.delete(id);
  }

  /** Of the process, beside its pools. */
  _now() {
    return { at: this.at, eventLoopLag: this.eventLoopLag, process: PROCESS, missed: this.missed };
  }

  /** The groups that are new or changed, by what they are about. */
  _whatHappened(alerts) {
    const { happened } = this;
    const news = this._newEvents();
    const about = (target) => news.filter((event) => event.target === target);
    return {
      alerts: happened.alerts.take(alerts),
      slowQueries: happened.slowQueries.take(about('query')),
      retries: happened.retries.take(about('retry')),
      events: happened.events.take(news.filter(({ target }) => !LISTED.includes(target))),
    };
  }

  _newEvents() {
    const events = JSON.parse(require('../native').Telemetry.entries(this._number));
    if (events.length === 0) return events;
    if (this._number > 0) this.missed += events[0].number - this._number - 1;
    this._number = events[events.length - 1].number;
    return events;
  }
}

/** Tiers in the order in which their set names them, then all other pools as they were made. */
function byImportance(pools) {
  const known = pools.map((pool) => ({ pool, own: poolNumbered(pool.id) }));
  const orderOf = ({ own }) => own?.options.order ?? Number.MAX_SAFE_INTEGER;
  return known.sort((one, other) => orderOf(one) - orderOf(other) || one.pool.id - other.pool.id);
}

function asEvent({ turn, rule, value, threshold, unit, since, causes }, pool, at) {
  const level = turn === 'cleared' ? 'info' : 'error';
  return {
    at,
    level,
    target: 'alert',
    event: turn,
    pool,
    fields: { rule, value, threshold, unit, since, causes },
  };
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
    connections && connections.limit,
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
  'application',
  'database',
  'server',
  'slowQueryMillis',
];

function stateOf(pool, { firing, lastConnectError, oldestWait, minute }) {
  const shown = Object.fromEntries(SHOWN.map((name) => [name, pool[name]]));
  return { ...shown, firing, lastConnectError, oldestWait, minute };
}

module.exports = { LiveView };
