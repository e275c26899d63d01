'use strict';

// The return of a leased connection to the core, which closes it or leases it again. The last step of every lease.

const leakDetection = require('../monitor/leak-detection');
const { setImmediate } = require('../async/timers');

// No turn of the event loop is expected to last longer.
const LONG_TURN_MILLIS = 1000;

/** Returns the connection to the core. */
function returnToCore(pool, connection, destroy) {
  if (!connection.leased) return;
  connection.leased = false;
  pool._lostLeases.delete(connection);
  leakDetection.checkedIn(pool, connection);
  const { idleTimeoutMillis } = pool.options;
  // 0: idle connections are never closed.
  if (idleTimeoutMillis > 0 && idleTimeoutMillis < LONG_TURN_MILLIS) holdIdleTimeout(pool);
  pool._native.release(connection.id, destroy);
}

// Idle timeouts are timers under pg: a released connection lives at least until the next turn of the event loop.
function holdIdleTimeout(pool) {
  if (pool._holdsIdleTimeout) return;
  pool._holdsIdleTimeout = true;
  pool._native.holdIdleTimeout(true);
  setImmediate(() => {
    pool._holdsIdleTimeout = false;
    pool._native.holdIdleTimeout(false);
  });
}

module.exports = { returnToCore };
