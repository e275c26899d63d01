'use strict';

// What other packages import as `lib/utils` of node-postgres: pg-cursor and pg-query-stream need
// `prepareValue` from this path. Nothing of our own uses it.

const { prepareValue } = require('./encode/prepare-value');
const { escapeIdentifier, escapeLiteral } = require('./encode/escape');

// The call forms (text or config, values, callback) as one config. The given config is changed,
// as in node-postgres; a caller that must not change it hands in a copy.
function normalizeQueryConfig(config, values, callback) {
  const normal = typeof config === 'string' ? { text: config } : config;
  if (typeof values === 'function') normal.callback = values;
  else if (values) normal.values = values;
  if (callback) normal.callback = callback;
  return normal;
}

module.exports = { prepareValue, normalizeQueryConfig, escapeIdentifier, escapeLiteral };
