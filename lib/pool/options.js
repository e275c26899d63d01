'use strict';

// The options of a pool (`pool.options`): a copy of the given ones, with pg-pool's defaults.

const { given, optionNamed, optionsOf } = require('../config/options');
const { hide, hideConnectionString, hideKeys } = require('../config/secrets');

const defaultOf = (name) => optionNamed(name, 'pool').default;

/** A copy of the options with pg-pool's defaults, its secrets out of sight. */
function completed(options) {
  const own = Object.assign({}, options);
  if (options != null && 'password' in options) hide(own, 'password', options.password);
  if (own.ssl) own.ssl = hideKeys(own.ssl);
  if (typeof own.connectionString === 'string') hideConnectionString(own);
  own.max = own.max || own.poolSize || defaultOf('max');
  own.min = own.min || defaultOf('min');
  own.maxUses = own.maxUses || Infinity;
  own.allowExitOnIdle = own.allowExitOnIdle || defaultOf('allowExitOnIdle');
  own.maxLifetimeSeconds = own.maxLifetimeSeconds || defaultOf('maxLifetimeSeconds');
  if (typeof own.idleTimeoutMillis === 'undefined') own.idleTimeoutMillis = defaultOf('idleTimeoutMillis');
  if (own.enhanced === undefined && isEnhanced(own)) own.enhanced = true;
  return own;
}

// Options that only this package has ask for a pool that is kept ready.
function isEnhanced(own) {
  return optionsOf('pool').some((option) => option.enhances && given(option, own) !== undefined);
}

module.exports = { completed };
