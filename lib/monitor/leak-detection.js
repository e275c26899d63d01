'use strict';

// Leak detection: which clients of a pool are checked out, since when, and the stack of each checkout. The core
// reports a client that is checked out for over 30 seconds; a monitor may look for shorter times. Each leak is
// reported once, to the log and to the metrics.
//
// A stack costs about a third of a small query. When checkouts follow each other fast, only some of them get
// one, so that stacks cost a thread about a hundredth of its time. While a monitor runs, every checkout gets one.

const { monotonicNow } = require('../async/timers');

const LEAK_MILLIS = 30000;
// As Node's own; a limit that the application has set is for its errors.
const STACK_FRAMES = 10;
const STACKS_PER_MILLI = 1;
const STACKS_AT_ONCE = 100;

// Before anybody patches it.
const { captureStackTrace } = Error;

let monitors = 0;
let stacksLeft = STACKS_AT_ONCE;
let countedAt = 0;

/** Has every checkout capture its stack, until the returned function is called. */
function captureEveryStack() {
  monitors++;
  let open = true;
  return () => {
    if (open) monitors--;
    open = false;
  };
}

/**
 * A lease that the caller of the function `above` asks for, to be handed to `checkedOut`.
 * @returns undefined for a pool that is not measured
 */
function startTracking(pool, above) {
  if (!pool._isMeasured && monitors === 0) return undefined;
  const lease = { since: monotonicNow(), isReported: false, trace: undefined };
  if (mayCapture(lease.since) || monitors > 0) lease.trace = captureStack(above);
  return lease;
}

function mayCapture(now) {
  stacksLeft = Math.min(stacksLeft + (now - countedAt) * STACKS_PER_MILLI, STACKS_AT_ONCE);
  countedAt = now;
  if (stacksLeft < 1) return false;
  stacksLeft--;
  return true;
}

// The stack is formatted only when it is read. An application that has replaced parts of `Error` breaks nothing here.
function captureStack(above) {
  const trace = {};
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit');
  const isWritable = limit !== undefined && limit.writable === true;
  try {
    if (isWritable) Error.stackTraceLimit = STACK_FRAMES;
    captureStackTrace.call(Error, trace, above);
  } catch {
    return undefined;
  } finally {
    if (isWritable) Error.stackTraceLimit = limit.value;
  }
  return trace;
}

/** The client of `connection` is checked out under `lease`. */
function checkedOut(pool, connection, lease) {
  if (lease === undefined) return;
  lease.since = monotonicNow();
  pool._leases.set(connection.id, lease);
}

/** The client of `connection` came back, or nobody has to give it back. */
function checkedIn(pool, connection) {
  pool._leases.delete(connection.id);
}

/** From the core: the client of this connection is checked out for so long. */
function overdue(pool, connection, heldMillis) {
  const lease = pool._leases.get(connection);
  if (lease !== undefined) report(pool, connection, lease, heldMillis);
}

function report(pool, connection, lease, heldMillis) {
  if (lease.isReported) return;
  lease.isReported = true;
  const { Telemetry } = require('../native');
  Telemetry.overdue(pool._native.metricsId, connection, Math.round(heldMillis), stackOf(lease));
}

/** The leases of a pool that last longer than `limit` milliseconds, longest first. */
function overdueLeases(pool, limit = LEAK_MILLIS, now = monotonicNow()) {
  const leaks = [];
  for (const [connection, lease] of pool._leases) {
    const heldMillis = now - lease.since;
    if (heldMillis < limit) continue;
    leaks.push({ heldMillis, stack: stackOf(lease) });
    report(pool, connection, lease, heldMillis);
  }
  return leaks.sort((one, other) => other.heldMillis - one.heldMillis);
}

/** The pool that has this number in snapshots. */
function poolNumbered(number) {
  for (const delegate of bridge().delegates.values()) {
    const pool = delegate.deref()?.pool;
    if (pool !== undefined && pool._leases !== undefined && pool._native.metricsId === number) return pool;
  }
  return undefined;
}

function bridge() {
  return require('../native/bridge').bridge();
}

// Error.prepareStackTrace of the application may give anything, call sites for one.
function stackOf({ trace }) {
  if (trace === undefined) return undefined;
  try {
    const { stack } = trace;
    const lines = Array.isArray(stack)
      ? stack.map((site) => `at ${site}`)
      : String(stack).split('\n').slice(1);
    return lines.map((line) => line.trim()).join('\n') || undefined;
  } catch {
    return undefined;
  }
}

module.exports = {
  captureEveryStack,
  checkedIn,
  checkedOut,
  overdue,
  overdueLeases,
  poolNumbered,
  startTracking,
};
