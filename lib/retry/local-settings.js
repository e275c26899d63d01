'use strict';

// Settings of one transaction, as `SET LOCAL` makes them: the context of row-level security. Names and values are
// parameters of one statement, which goes to the server together with BEGIN. A value that is missing is refused: a
// transaction without its tenant must not begin.

const { JOINS, own } = require('../statement/statement');

const TEXT = `SELECT pg_catalog.set_config(name, value, true)
  FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS settings (name, value)`;

/**
 * The statement that makes the settings; undefined: there are none.
 * @param set name to value, as the option of a transaction
 * @throws TypeError for what is no setting; its message has no value
 */
function localSettings(set) {
  if (set === undefined || set === null) return undefined;
  if (typeof set !== 'object' || Array.isArray(set)) throw new TypeError('set must be an object of settings');
  const entries = Object.entries(set);
  if (entries.length === 0) return undefined;
  const values = [entries.map(([name]) => name), entries.map(([name, value]) => textOf(name, value))];
  return own({ text: TEXT, values, [JOINS]: true });
}

function textOf(name, value) {
  const isText = typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint';
  if (isText || Number.isFinite(value)) return String(value);
  throw new TypeError(`set: the value of ${name} must be a string, a number or a boolean`);
}

module.exports = { localSettings };
