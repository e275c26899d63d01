'use strict';

// The incident of one pool, as the live page tells it: whether the pool is in trouble, since when, its one cause, and
// what the pool has done about it. The present incident is kept, and the last one that is over.

const COUNTED = [
  'connectFailures',
  'breakerRejected',
  'retries',
  'retriesDenied',
  'timeouts',
  'failovers',
  'opened',
];

class Incident {
  constructor() {
    this.present = null;
    this.past = null;
    this._before = null;
    this._alerts = new Map();
  }

  /**
   * Takes in one sample.
   * @param pool as `metrics()` gives it
   * @param seen what the pool's monitor saw, with the changes of its alerts
   */
  sample(pool, seen, at) {
    for (const change of seen.changes) {
      if (change.turn === 'cleared') this._alerts.delete(change.rule);
      else this._alerts.set(change.rule, change);
    }
    const counts = Object.fromEntries(COUNTED.map((name) => [name, pool[name]]));
    // A breaker that only counts stays open until somebody uses the pool.
    const isStopped = pool.breaker !== 'closed' && pool.breakerStops;
    const isDown = isStopped || pool.lastConnectError !== null;
    if (isDown || seen.firing.length > 0) this._continue(pool, seen, counts, at, isDown);
    else if (this.present !== null) this._end(counts, at);
    this._before = counts;
  }

  _continue(pool, seen, counts, at, isDown) {
    // An alert tells since when its value is above the limit; everything else began between two samples.
    const since = Math.min(at, ...[...this._alerts.values()].map((alert) => alert.since));
    this.present ??= { since, from: this._before || counts, workingSince: null, wasDown: false };
    const { wasDown, workingSince, cause } = this.present;
    const alerts = seen.firing.map((rule) => this._alertOf(rule, seen.values[rule]));
    // The pool may work again long before its alert clears.
    const returned = wasDown ? (workingSince ?? at) : null;
    this.present = {
      ...this.present,
      breaker: pool.breaker,
      breakerStops: pool.breakerStops,
      nextProbe: nextProbeOf(pool.breakers),
      wasDown: wasDown || isDown,
      workingSince: isDown ? null : returned,
      cause: isDown ? downCause(pool) : wasDown ? cause : alertCause(alerts),
      alerts,
      actions: difference(counts, this.present.from),
    };
    this.past = null;
  }

  _alertOf(rule, value) {
    const { causes = [], threshold, unit, since } = this._alerts.get(rule) || {};
    return { rule, value, threshold, unit, since, causes };
  }

  _end(counts, at) {
    const { since, cause, alerts, from, workingSince } = this.present;
    this.past = {
      since,
      endedAt: workingSince ?? at,
      cause,
      rules: alerts.map(({ rule }) => rule),
      actions: difference(counts, from),
    };
    this.present = null;
  }

  /** For the page: `{ incident, recovered }`, of which one is null or both are. */
  state() {
    if (this.present === null) return { incident: null, recovered: this.past };
    const { from, wasDown, ...incident } = this.present;
    return { incident, recovered: null };
  }
}

/** Why a pool cannot work: its last connect failed, or the breaker bars it. */
function downCause({ lastConnectError, breakers }) {
  if (lastConnectError !== null) return { kind: 'server', text: lastConnectError };
  const open = breakers.find(({ state }) => state !== 'closed');
  return { kind: 'breaker', text: open?.reason ?? null };
}

/** Why alerts fire: the likeliest cause of the first that knows one. */
function alertCause(alerts) {
  const known = alerts.find(({ causes }) => causes.length > 0);
  return known === undefined ? { kind: 'alert', text: null } : known.causes[0];
}

/** When the first of the hosts with an open breaker is probed; null: no probe comes. */
function nextProbeOf(breakers) {
  const probes = breakers.map(({ nextProbe }) => nextProbe).filter((at) => at !== null);
  return probes.length > 0 ? Math.min(...probes) : null;
}

function difference(counts, from) {
  return Object.fromEntries(COUNTED.map((name) => [name, counts[name] - from[name]]));
}

module.exports = { Incident };
