'use strict';

// Events that are alike, told as one: how often, from when until when, and of which pools. So an outage of many
// connections in several pools is a few rows. Fields that differ are left out. The number of groups is bounded: the one
// that was not heard of for longest gives way.

const KEPT = 100;

class EventGroups {
  /**
   * @param keyOf what the events of one group share
   * @param options `quietMillis`: after so long without an event the next one begins a new group; `fieldsOf`: the
   *   fields of a group, from those it has and those of one more event
   */
  constructor(keyOf, { quietMillis = Infinity, fieldsOf = commonFields, kept = KEPT } = {}) {
    this._keyOf = keyOf;
    this._quietMillis = quietMillis;
    this._fieldsOf = fieldsOf;
    this._kept = kept;
    // The latest group of each key, that not heard of for longest first.
    this._latest = new Map();
    this._closed = [];
    this._next = 1;
  }

  /** Takes in events. @returns the groups that are new or changed */
  take(events) {
    const changed = new Set();
    for (const event of events) changed.add(this._add(event));
    this._bound();
    return [...changed];
  }

  /** All groups that are kept. */
  all() {
    return [...this._closed, ...this._latest.values()];
  }

  _add(event) {
    const key = this._keyOf(event);
    const known = this._latest.get(key);
    this._latest.delete(key);
    const isOver = known !== undefined && event.at - known.at > this._quietMillis;
    if (isOver) this._closed.push(known);
    const group = known === undefined || isOver ? this._begin(event) : known;
    group.at = event.at;
    group.count++;
    if (event.pool && !group.pools.includes(event.pool)) group.pools.push(event.pool);
    group.fields = this._fieldsOf(group.fields, event.fields, event);
    this._latest.set(key, group);
    return group;
  }

  _begin({ at, level, target, event }) {
    return { id: this._next++, target, event, level, first: at, at, count: 0, pools: [], fields: null };
  }

  _bound() {
    while (this._closed.length + this._latest.size > this._kept) {
      if (this._closed.length > 0) this._closed.shift();
      else this._latest.delete(this._latest.keys().next().value);
    }
  }
}

/** What both have alike; the first has all. */
function commonFields(common, fields, _event) {
  if (common === null) return fields;
  return Object.fromEntries(Object.entries(common).filter(([name, value]) => fields[name] === value));
}

const DISTINCT = ['error', 'reason', 'class', 'code', 'phase', 'host', 'from', 'to', 'stack'];

const keyOfEvent = ({ target, event, fields }) =>
  JSON.stringify([target, event, ...DISTINCT.map((name) => fields[name])]);

/** Of the longest run, and of all runs together, the waits for a connection left out. */
function slowFields(known, { millis, waitedMillis, rows, text, name, class: failure }) {
  const isLongest = known === null || millis > known.millis;
  const longest = isLongest ? { millis, waitedMillis, rows } : known;
  const totalMillis = (known === null ? 0 : known.totalMillis) + millis - (waitedMillis ?? 0);
  return { ...known, text, name, class: failure, ...pick(longest), totalMillis };
}

const pick = ({ millis, waitedMillis, rows }) => ({ millis, waitedMillis, rows });

/** The alert of each pool, and the causes of the first. */
function alertFields(known, { rule, causes, ...own }, { pool }) {
  if (known === null) return { rule, causes, told: [{ pool, ...own }] };
  return { ...known, told: [...known.told.filter((other) => other.pool !== pool), { pool, ...own }] };
}

const QUIET_MILLIS = 60000;
// Alerts of several pools fire one after the other.
const ALERTS_APART_MILLIS = 10000;

const ofEvents = () => new EventGroups(keyOfEvent, { quietMillis: QUIET_MILLIS });
const ofSlowQueries = () =>
  new EventGroups(({ fields }) => JSON.stringify([fields.text, fields.name]), { fieldsOf: slowFields });
const ofAlerts = () =>
  new EventGroups(
    ({ event, fields }) =>
      JSON.stringify([event, fields.rule, fields.causes[0]?.kind, fields.causes[0]?.text]),
    { quietMillis: ALERTS_APART_MILLIS, fieldsOf: alertFields },
  );

module.exports = { EventGroups, ofAlerts, ofEvents, ofSlowQueries };
