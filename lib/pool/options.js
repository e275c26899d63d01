'use strict';

// What `pool.options` holds: a copy of what was given, with pg-pool's defaults.

const { inspect } = require('node:util');
const { hide, hideKeys } = require('../connection-parameters');

const DEFAULT_MAX = 10;
const DEFAULT_IDLE_TIMEOUT_MILLIS = 10000;

/** A copy of the options with pg-pool's defaults, its secrets out of sight. */
function completed(options) {
  const own = Object.assign({}, options);
  if (options != null && 'password' in options) hide(own, 'password', options.password);
  hideKeys(own.ssl);
  if (typeof own.connectionString === 'string') veil(own);
  own.max = own.max || own.poolSize || DEFAULT_MAX;
  own.min = own.min || 0;
  own.maxUses = own.maxUses || Infinity;
  own.allowExitOnIdle = own.allowExitOnIdle || false;
  own.maxLifetimeSeconds = own.maxLifetimeSeconds || 0;
  if (typeof own.idleTimeoutMillis === 'undefined') own.idleTimeoutMillis = DEFAULT_IDLE_TIMEOUT_MILLIS;
  return own;
}

// A connection string is read and copied as under pg; only who prints the options does not see its password.
function veil(own) {
  const shown = () => ({ ...own, connectionString: withoutPassword(own.connectionString) });
  hide(own, 'toJSON', shown);
  hide(own, inspect.custom, shown);
}

// Up to the last @: a password may hold one that is not escaped. Passwords among the parameters, too.
function withoutPassword(text) {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/?#]*):.*@/is, '$1:***@')
    .replace(/([?&](?:password|passphrase|sslpassword)=)[^&#]*/gi, '$1***');
}

module.exports = { completed };
