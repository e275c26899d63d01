'use strict';

// What `pool.options` holds: a copy of what was given, with pg-pool's defaults.

const { hide, hideConnectionString, hideKeys } = require('../config/secrets');

const DEFAULT_MAX = 10;
const DEFAULT_IDLE_TIMEOUT_MILLIS = 10000;

/** A copy of the options with pg-pool's defaults, its secrets out of sight. */
function completed(options) {
  const own = Object.assign({}, options);
  if (options != null && 'password' in options) hide(own, 'password', options.password);
  hideKeys(own.ssl);
  if (typeof own.connectionString === 'string') hideConnectionString(own);
  own.max = own.max || own.poolSize || DEFAULT_MAX;
  own.min = own.min || 0;
  own.maxUses = own.maxUses || Infinity;
  own.allowExitOnIdle = own.allowExitOnIdle || false;
  own.maxLifetimeSeconds = own.maxLifetimeSeconds || 0;
  if (typeof own.idleTimeoutMillis === 'undefined') own.idleTimeoutMillis = DEFAULT_IDLE_TIMEOUT_MILLIS;
  return own;
}

module.exports = { completed };
