'use strict';

// What other packages import as `lib/utils` of node-postgres: pg-cursor and pg-query-stream need
// `prepareValue` from this path. Nothing of our own uses it.

const { prepareValue } = require('./encode/prepare-value');
const { escapeIdentifier, escapeLiteral } = require('./encode/escape');

// The call forms (text or config, values, callback) as one config. The given config stays as it is.
function normalizeQueryConfig(config, values, callback) {
  const normal = typeof config === 'string' ? { text: config } : copyOf(config);
  if (typeof values === 'function') normal.callback = values;
  else if (values) normal.values = values;
  if (callback) normal.callback = callback;
  return normal;
}

// With prototype, accessors and symbols: a config may be of any class.
function copyOf(config) {
  if (config === null || config === undefined) return config;
  return Object.create(Object.getPrototypeOf(config), Object.getOwnPropertyDescriptors(config));
}

module.exports = { prepareValue, normalizeQueryConfig, escapeIdentifier, escapeLiteral };
