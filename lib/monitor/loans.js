'use strict';

// Which clients are lent, since when, and where they were borrowed. Only while somebody watches: a stack
// costs a few microseconds, and a pool that nobody watches must not pay for it.

const LEAK_MILLIS = 30000;

let watchers = 0;

/** While open, checkouts remember where they were asked for. */
function watchLoans() {
  watchers++;
  let open = true;
  return () => {
    if (open) watchers--;
    open = false;
  };
}

/** Where the caller of `above` is; undefined while nobody watches. */
function borrowed(above) {
  if (watchers === 0) return undefined;
  const place = {};
  // Formatted only when it is read.
  Error.captureStackTrace(place, above);
  return place;
}

/** The loans of a pool that last longer than `limit` milliseconds, longest first. */
function overdueLoans(pool, limit = LEAK_MILLIS, now = performance.now()) {
  const overdue = [];
  for (const loan of pool._loans || []) {
    const heldMillis = now - loan.since;
    if (heldMillis >= limit) overdue.push({ heldMillis, stack: stackOf(loan.place) });
  }
  return overdue.sort((one, other) => other.heldMillis - one.heldMillis);
}

function stackOf(place) {
  if (place === undefined) return undefined;
  const lines = String(place.stack).split('\n').slice(1);
  return lines.map((line) => line.trim()).join('\n');
}

module.exports = { borrowed, overdueLoans, watchLoans };
