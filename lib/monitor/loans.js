'use strict';

// Which clients are lent, since when, and where they were borrowed. Only while somebody watches: a stack
// costs a few microseconds, and a pool that nobody watches must not pay for it.

const LEAK_MILLIS = 30000;

let watchers = 0;
const loans = new WeakMap();
// By the core's number of the pool, for those who know no more of it.
const pools = new Map();

/** While open, checkouts remember where they were asked for. */
function watchLoans() {
  watchers++;
  let open = true;
  return () => {
    if (open) watchers--;
    open = false;
  };
}

/** Where the caller of the function `above` is; undefined while nobody watches. */
function borrowed(above) {
  if (watchers === 0) return undefined;
  const place = {};
  // Formatted only when it is read.
  Error.captureStackTrace(place, above);
  return place;
}

/** The client of `link` was lent to who asked at `place`. */
function lent(pool, link, place) {
  if (place === undefined) return;
  let own = loans.get(pool);
  if (own === undefined) {
    loans.set(pool, (own = new Map()));
    pools.set(pool._native.vitals, new WeakRef(pool));
  }
  own.set(link, { since: performance.now(), place, told: false });
}

/** It came back, or is gone. */
function returned(pool, link) {
  const own = loans.get(pool);
  if (own !== undefined) own.delete(link);
}

/** The loans of a pool that last longer than `limit` milliseconds, longest first. Each is logged once. */
function overdueLoans(pool, limit = LEAK_MILLIS, now = performance.now()) {
  const overdue = [];
  for (const [link, loan] of loans.get(pool) || []) {
    const heldMillis = now - loan.since;
    if (heldMillis < limit) continue;
    const leak = { heldMillis, stack: stackOf(loan.place) };
    overdue.push(leak);
    if (!loan.told) log(pool, link, leak);
    loan.told = true;
  }
  return overdue.sort((one, other) => other.heldMillis - one.heldMillis);
}

/** The same for the pool of this number. */
function overdueLoansOf(number) {
  const pool = pools.has(number) ? pools.get(number).deref() : undefined;
  return pool === undefined ? [] : overdueLoans(pool);
}

function log(pool, link, leak) {
  require('../native').Vitals.overdue(pool._native ? pool._native.vitals : 0, link.id, Math.round(leak.heldMillis), leak.stack);
}

function stackOf(place) {
  return String(place.stack)
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .join('\n');
}

module.exports = { borrowed, lent, overdueLoans, overdueLoansOf, returned, watchLoans };
