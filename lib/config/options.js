'use strict';

// The options: each with its name, kind, range, default and the variable that sets it for the tiers, once. Checks, the
// core's settings, the DB_* reader, the tables of docs/guide/configuration.md and the checks of index.d.ts read it
// here.
//
// A `default` is that of a plain pool or client. `tiers` is the value in the pools of `getPool` where no variable sets
// it: one for all, or one for each.

const client = require('./option-tables/client');
const pool = require('./option-tables/pool');
const query = require('./option-tables/query');
const tiers = require('./option-tables/tiers');

/**
 * @typedef {object} Option
 * @property {string} [name] absent: only a variable
 * @property {string[]} [aliases] other names of the same
 * @property {string} owner client, pool, breaker, query, pool.query or tiers
 * @property {string} kind one of KINDS
 * @property {boolean|string} [core] a setting of the core, of the same name or of this one
 * @property {number} [from] the smallest value
 * @property {number} [to] the largest value
 * @property {string[]} [choices]
 * @property {Object<string, string>} [synonyms] further words of a variable, and the choices they mean
 * @property {*} [default]
 * @property {string} [otherwise] in words: where the value comes from, or what it means, when none is given
 * @property {*} [tiers] its value in the tiers: one for all, or an object by tier
 * @property {string|Object<string, string>} [variable] that sets it for the tiers: one for all, or one by tier
 * @property {number} [variableFrom] the smallest value of the variable where it is not `from`
 * @property {boolean} [perTier] each tier may have a variable of its own, `DB_LOW_PRIORITY_HOST` beside `DB_HOST`
 * @property {boolean} [enhances] a pool that has it is enhanced: pg does not know the option, and who uses it wants more
 * @property {boolean} [early] a wrong value throws in the constructor; all others are refused at the first use
 * @property {string} [section] where the guide has the variable
 * @property {string} doc one line
 * @property {string|Object<string, string>} [variableDoc] of the variable, where the line of the option does not fit
 */

/** The kinds, with their units. */
const KINDS = {
  text: undefined,
  secret: undefined,
  hosts: undefined,
  ports: undefined,
  tls: undefined,
  pem: undefined,
  url: undefined,
  secretFile: undefined,
  choice: undefined,
  flag: undefined,
  switch: undefined,
  count: undefined,
  share: undefined,
  bytes: 'bytes',
  millis: 'milliseconds',
  seconds: 'seconds',
  function: undefined,
  object: undefined,
};

/** @type {readonly Option[]} */
const OPTIONS = Object.freeze(
  [...client, ...pool, ...query, ...tiers].map((option) => Object.freeze(option)),
);

/** The options of an owner. */
function optionsOf(owner) {
  return OPTIONS.filter((option) => option.owner === owner);
}

/** The option of this name. */
function optionNamed(name, owner) {
  const isIt = (option) => option.name === name && (owner === undefined || option.owner === owner);
  const found = OPTIONS.find(isIt);
  if (found === undefined) throw new Error(`there is no option ${name}`);
  return found;
}

/** The entry of a variable that is no option of a pool. */
function variableNamed(variable) {
  return OPTIONS.find((option) => option.owner === 'tiers' && option.variable === variable);
}

/**
 * The value under any of an option's names.
 * @param {Pick<Option, 'name'|'aliases'>} option
 */
function given({ name, aliases = [] }, options) {
  return [name, ...aliases].map((one) => options[one]).find((value) => value !== undefined && value !== null);
}

module.exports = { KINDS, OPTIONS, given, optionNamed, optionsOf, variableNamed };
