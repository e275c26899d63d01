'use strict';

// What the person on duty asks of one pool first: is it in trouble, since when, why, and what has the pool done
// about it. Kept for the present trouble and for the last one that is over.

const COUNTED = [
  'connectFailures',
  'breakerRejected',
  'retries',
  'retriesDenied',
  'timeouts',
  'failovers',
  'opened',
];

class Trouble {
  constructor() {
    this.present = null;
    this.past = null;
    this._before = null;
    this._alerts = new Map();
    this._probe = null;
  }

  /**
   * Looks once.
   * @param told the pool as `metrics()` tells it
   * @param seen what its watch saw, with the changes of its alerts
   * @param events the notable events since the last look
   */
  look(told, seen, events, at) {
    for (const change of seen.changes) {
      if (change.turn === 'cleared') this._alerts.delete(change.rule);
      else this._alerts.set(change.rule, change);
    }
    for (const { target, event, pool, at: noted, fields } of events) {
      if (target !== 'breaker' || pool !== told.name) continue;
      this._probe =
        event === 'open' && fields.nextProbeMillis !== undefined ? noted + fields.nextProbeMillis : null;
    }
    const counts = Object.fromEntries(COUNTED.map((name) => [name, told[name]]));
    // A breaker that only tells stays open until somebody uses the pool.
    const isStopped = told.breaker !== 'closed' && told.breakerStops;
    const isOut = isStopped || told.lastConnectError !== null;
    if (isOut || seen.firing.length > 0) this._continue(told, seen, counts, at, isOut);
    else if (this.present !== null) this._end(counts, at);
    this._before = counts;
  }

  _continue(told, seen, counts, at, isOut) {
    // An alert tells since when its value is above the limit; the rest began between two looks.
    const since = Math.min(at, ...[...this._alerts.values()].map((alert) => alert.since));
    if (this.present === null)
      this.present = { since, from: this._before || counts, back: null, wasOut: false, connectError: null };
    const { wasOut, back, connectError } = this.present;
    // An alert takes its time to clear; the pool may work again long before.
    const returned = wasOut ? (back ?? at) : null;
    this.present = {
      ...this.present,
      breaker: told.breaker,
      stops: told.breakerStops,
      nextProbe: this._probe,
      wasOut: wasOut || isOut,
      back: isOut ? null : returned,
      connectError: told.lastConnectError ?? connectError,
      alerts: seen.firing.map((rule) => {
        const { causes = [], threshold, unit, since: began } = this._alerts.get(rule) || {};
        return {
          rule,
          value: seen.values[rule],
          threshold,
          unit,
          since: began,
          causes: causes.map(({ text }) => text),
        };
      }),
      did: difference(counts, this.present.from),
    };
    this.past = null;
  }

  _end(counts, at) {
    const { since, connectError, alerts, breaker, from, back } = this.present;
    this.past = {
      since,
      at: back ?? at,
      connectError,
      rules: alerts.map(({ rule }) => rule),
      breaker,
      did: difference(counts, from),
    };
    this.present = null;
  }

  /** For the page. */
  state() {
    if (this.present === null) return { trouble: null, recovered: this.past };
    const { from, wasOut, ...trouble } = this.present;
    return { trouble, recovered: null };
  }
}

function difference(counts, from) {
  return Object.fromEntries(COUNTED.map((name) => [name, counts[name] - from[name]]));
}

module.exports = { Trouble };
