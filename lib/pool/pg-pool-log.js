'use strict';

// The lines that pg-pool logs on its own initiative, for what the core does here.

const { nextTick } = require('../async/timers');

/** Logs who serves a checkout: an idle client or a new one. */
function logSupply(pool) {
  if (pool.idleCount > 0) nextTick(() => logPulse(pool, true));
  else if (!pool._isFull()) {
    pool.log('checking client timeout');
    pool.log('connecting new client');
  }
}

/** Logs that the queue of checkouts is looked at. */
function logPulse(pool, serves = pool._isLogged && pool.waitingCount > 0) {
  if (!pool._isLogged) return;
  pool.log('pulse queue');
  if (pool.ending) pool.log('pulse queue on ending');
  else if (!serves) pool.log('no queued requests');
}

module.exports = { logPulse, logSupply };
