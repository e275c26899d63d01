'use strict';

// Which clients of a pool are lent, since when, and where they were borrowed. The core tells when one is lent
// for over 30 seconds; a monitor may look for shorter ones. Each is told once, to the log and to the metrics.
//
// A stack costs about a third of a small query. Of checkouts that follow each other fast only some get one, unless
// somebody watches, so that all of them together cost a thread about a hundredth of its time.

const LEAK_MILLIS = 30000;
// As Node's own; a limit that the application has set is for its errors.
const STACK_FRAMES = 10;
const STACKS_PER_MILLI = 1;
const STACKS_AT_ONCE = 100;

// Before anybody patches it.
const { captureStackTrace } = Error;

let watchers = 0;
let stacksLeft = STACKS_AT_ONCE;
let countedAt = 0;

/** While open, every checkout remembers where it was asked for. */
function watchLoans() {
  watchers++;
  let open = true;
  return () => {
    if (open) watchers--;
    open = false;
  };
}

/** A loan that the caller of the function `above` asks for; undefined where nobody wants to know. */
function borrowed(pool, above) {
  if (!pool._isMeasured && watchers === 0) return undefined;
  const loan = { since: performance.now(), told: false, place: undefined };
  if (mayAsk(loan.since) || watchers > 0) loan.place = placeOf(above);
  return loan;
}

function mayAsk(now) {
  stacksLeft = Math.min(stacksLeft + (now - countedAt) * STACKS_PER_MILLI, STACKS_AT_ONCE);
  countedAt = now;
  if (stacksLeft < 1) return false;
  stacksLeft--;
  return true;
}

// Its stack is formatted only when it is read. Whatever the application has made of `Error` ends here.
function placeOf(above) {
  const place = {};
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit');
  const isWritable = limit !== undefined && limit.writable === true;
  try {
    if (isWritable) Error.stackTraceLimit = STACK_FRAMES;
    captureStackTrace.call(Error, place, above);
  } catch {
    return undefined;
  } finally {
    if (isWritable) Error.stackTraceLimit = limit.value;
  }
  return place;
}

/** The client of `link` is lent. */
function lent(pool, link, loan) {
  if (loan === undefined) return;
  loan.since = performance.now();
  pool._loans.set(link.id, loan);
}

/** It came back, or nobody has to give it back. */
function returned(pool, link) {
  pool._loans.delete(link.id);
}

/** From the core: the client of this connection is lent for so long. */
function overdue(pool, connection, heldMillis) {
  const loan = pool._loans.get(connection);
  if (loan !== undefined) tell(pool, connection, loan, heldMillis);
}

function tell(pool, connection, loan, heldMillis) {
  if (loan.told) return;
  loan.told = true;
  require('../native').Vitals.overdue(pool._native.vitals, connection, Math.round(heldMillis), stackOf(loan));
}

/** The loans of a pool that last longer than `limit` milliseconds, longest first. */
function overdueLoans(pool, limit = LEAK_MILLIS, now = performance.now()) {
  const leaks = [];
  for (const [connection, loan] of pool._loans) {
    const heldMillis = now - loan.since;
    if (heldMillis < limit) continue;
    leaks.push({ heldMillis, stack: stackOf(loan) });
    tell(pool, connection, loan, heldMillis);
  }
  return leaks.sort((one, other) => other.heldMillis - one.heldMillis);
}

/** The same for the pool of this number in the snapshots. */
function overdueLoansOf(number) {
  for (const owner of bridge().delegates.values()) {
    const pool = owner.deref();
    if (pool !== undefined && pool._loans !== undefined && pool._native.vitals === number)
      return overdueLoans(pool);
  }
  return [];
}

function bridge() {
  return require('../native/bridge').bridge();
}

// An application may have stacks prepared as it likes, as call sites for one.
function stackOf({ place }) {
  if (place === undefined) return undefined;
  try {
    const { stack } = place;
    const lines = Array.isArray(stack)
      ? stack.map((site) => `at ${site}`)
      : String(stack).split('\n').slice(1);
    return lines.map((line) => line.trim()).join('\n') || undefined;
  } catch {
    return undefined;
  }
}

module.exports = { borrowed, lent, overdue, overdueLoans, overdueLoansOf, returned, watchLoans };
