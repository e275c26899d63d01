'use strict';

// Tiers that the application describes itself: the options of `createTiers`, checked as a whole and completed. Each
// tier has what it was given, then what all share, then the defaults of tiers. The result has the form that
// `readEnvironment` gives to the DB_* variables.

const { ConfigurationError } = require('../errors');
const { checkOptions } = require('./core-settings');
const { budgetProblems, freeze, valueInTier } = require('./environment');
const { parseConnectionString } = require('./hosts');
const { OPTIONS } = require('./options');
const { sizeProblems } = require('./pool-changes');

const MEMBERS = ['tiers', 'shared', 'default', 'totalMax'];
const SIZES = { max: 10, min: 2 };
// The defaults of tiers. Where the tiers of the DB_* variables differ, those of their one pool.
const DEFAULTS = Object.fromEntries(
  OPTIONS.filter(
    ({ name, tiers }) => name !== undefined && tiers !== undefined && !Object.hasOwn(SIZES, name),
  ).map((option) => [option.name, valueInTier(option, 'shared')]),
);
// A tier that has one of them connects elsewhere, or as somebody else: it keeps its pool when the tiers are off.
const PLACE = ['connectionString', 'host', 'port', 'database', 'user', 'password', 'ssl'];

/**
 * @param options of `createTiers`, see TierSetOptions in index.d.ts
 * @returns the tiers, see Tiers
 * @throws ConfigurationError naming whatever makes no sense
 */
function tierSet(options) {
  if (!isObject(options) || !isObject(options.tiers))
    throw new TypeError('createTiers takes { tiers: { name: options } }');
  const { shared = {}, totalMax } = options;
  const names = Object.keys(options.tiers);
  const fallback = options.default ?? names[0];
  const problems = Object.keys(options)
    .filter((name) => !MEMBERS.includes(name))
    .map((name) => `${name} is none of ${MEMBERS.join(', ')}`);
  if (names.length === 0) problems.push('tiers must have at least one tier');
  else if (!names.includes(fallback)) problems.push(`default must be one of ${names.join(', ')}`);
  if (totalMax !== undefined && !(Number.isInteger(totalMax) && totalMax > 0))
    problems.push('totalMax must be a whole number of at least 1');

  const entries = [['shared', shared], ...names.map((name) => [`tiers.${name}`, options.tiers[name]])];
  const wrong = entries.flatMap(([path, own]) => problemsOf(path, own, shared));
  if (wrong.length > 0 || problems.length > 0) throw new ConfigurationError([...problems, ...wrong]);

  const tiers = Object.fromEntries(names.map((name) => [name, completed(options.tiers[name], shared, name)]));
  const tooFew = budgetProblems(totalMax, Object.values(tiers), 'totalMax');
  if (tooFew.length > 0) throw new ConfigurationError(tooFew);
  const configuration = freeze({
    tiered: true,
    shared: completed({}, shared, 'shared'),
    tiers,
    separate: names.filter((name) => PLACE.some((place) => options.tiers[name][place] !== undefined)),
    totalMax,
  });
  // In the order of their names: the first is served first.
  const ranks = Object.fromEntries(names.map((name, rank) => [name, rank]));
  return { names, fallback, ranks, totalMaxName: 'totalMax', read: () => configuration };
}

function problemsOf(path, own, shared) {
  if (!isObject(own)) return [`${path} must be an object of options`];
  const { max, min } = completed(own, shared);
  const problems = sizeProblems({ max, min }, `${path}.`);
  if (problems.length === 0 && min > max) problems.push(`${path}.min (${min}) must not exceed max (${max})`);
  try {
    checkOptions(own);
  } catch (error) {
    problems.push(...(error.problems ?? [error.message]).map((problem) => `${path}: ${problem}`));
  }
  return problems;
}

/** The options of a tier's pool. */
function completed(own, shared, tier) {
  const common = commonOf(own, isObject(shared) ? shared : {});
  const given = { ...withoutUndefined(common), ...withoutUndefined(own) };
  const max = given.max ?? SIZES.max;
  const password = own.password ?? common.password;
  return {
    ...DEFAULTS,
    ...given,
    max,
    // A maximum that was lowered takes the default minimum along.
    min: given.min ?? Math.min(SIZES.min, max),
    tier,
    ...(password === undefined ? {} : { password }),
  };
}

/**
 * What a tier takes from the options that all share. A connection string goes before the options beside it, as in pg:
 * one that is shared gives its parts, so that the tier's own options go before them; one of the tier's own replaces
 * the place.
 */
function commonOf(own, shared) {
  const { connectionString, ...common } = shared;
  if (connectionString !== undefined)
    Object.assign(common, withoutUndefined(parseConnectionString(connectionString)));
  if (shared.password !== undefined) common.password ??= shared.password;
  // A list of ports belongs to the list of hosts beside it.
  if (own.host !== undefined && String(common.port).includes(',')) delete common.port;
  if (own.connectionString !== undefined) for (const name of PLACE) delete common[name];
  return common;
}

// No value is as no option, but for an idle timeout: null is never.
function withoutUndefined(options) {
  const isGiven = ([name, value]) =>
    value !== undefined && value !== '' && (value !== null || name === 'idleTimeoutMillis');
  return Object.fromEntries(Object.entries(options).filter(isGiven));
}

function isObject(value) {
  return value !== null && typeof value === 'object';
}

module.exports = { tierSet };
