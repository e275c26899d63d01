'use strict';

// The DB_* variables of the tiers: parsed and validated at once, then frozen. Whatever is wrong is named in one
// error, so that a deployment is repaired in one round. What is not set here falls back to the PG* variables, as in
// pg. No password has a default. Names, ranges and defaults are those of the table of options.

const { ConfigurationError } = require('../errors');
const { OPTIONS, optionNamed, optionsOf, variableNamed } = require('./options');
const { Reader } = require('./variable-reader');

const TIERS = ['highPriority', 'lowPriority', 'admin'];
// Operators come rarely and mean it.
const RANKS = { admin: 0, highPriority: 1, lowPriority: 2 };
// The one pool of DB_TIERS=off.
const SHARED = 'shared';
const PREFIXES = { highPriority: 'DB_HIGH_PRIORITY', lowPriority: 'DB_LOW_PRIORITY', admin: 'DB_ADMIN' };

const PLACE = OPTIONS.filter(({ perTier }) => perTier);
// One variable, or none, for all tiers alike.
const COMMON = OPTIONS.filter(
  ({ name, owner, kind, variable, tiers, perTier }) =>
    name !== undefined &&
    owner !== 'breaker' &&
    kind !== 'tls' &&
    !perTier &&
    typeof variable !== 'object' &&
    (variable !== undefined || tiers !== undefined),
);

/**
 * The configuration that `env` describes.
 * @throws ConfigurationError naming every bad variable
 */
function readEnvironment(env = process.env) {
  const reader = new Reader(env);
  const tiered = reader.read(variableNamed('DB_TIERS')) !== 'off';
  const totalMax = reader.read(variableNamed('DB_TOTAL_MAX'));
  // Pools read it themselves; a wrong value is named here, with all others.
  reader.read(variableNamed('DB_MONITOR'));
  const url = readUrl(reader);
  const common = { ...url, ...readPlace(reader, 'DB', url), ...readSsl(reader) };
  const given = Object.fromEntries(COMMON.map((option) => [option.name, reader.read(option)]));
  // Without retry a failed connect fails its caller at once, as in pg.
  if (given.retry === 'off') given.failFast = true;
  given.breaker = readBreaker(reader, given.breaker);
  const replica = readReplica(reader, common.port);

  const sizes = Object.fromEntries([...TIERS, SHARED].map((tier) => [tier, readSizes(reader, tier)]));
  /** @type {Record<string, any>} */
  const tiers = {};
  for (const tier of [...TIERS, SHARED]) {
    tiers[tier] = {
      ...(tier === SHARED ? common : readPlace(reader, PREFIXES[tier], common)),
      ...valuesOf(given, tier),
      ...sizes[tier],
      ...readCredentials(reader, tier),
      ...(tier !== 'admin' && replica !== undefined && { replica }),
      tier,
    };
  }
  const { shared, ...own } = tiers;
  // With tiers off, too, admin has a pool of its own where it has a user of its own.
  const adminIsOther = own.admin.user !== shared.user || own.admin.password !== shared.password;
  const separate = adminIsOther ? ['admin'] : [];
  const pools = tiered ? Object.values(own) : [shared, ...separate.map((tier) => own[tier])];
  for (const problem of budgetProblems(totalMax, pools, 'DB_TOTAL_MAX')) reader.problem(problem);
  if (reader.problems.length > 0) throw new ConfigurationError(reader.problems);
  return freeze({ tiered, shared, tiers: own, separate, totalMax });
}

/** The parts of DATABASE_URL, under the names of the options; none where DB_HOST says where to connect. */
function readUrl(reader) {
  if (reader.text('DB_HOST') !== undefined) return {};
  const parts = { ...reader.read(variableNamed('DATABASE_URL')) };
  for (const { name, aliases = [] } of PLACE) {
    for (const alias of aliases.filter((one) => Object.hasOwn(parts, one))) {
      parts[name] = parts[alias];
      delete parts[alias];
    }
  }
  return parts;
}

/** The breaker's mode, with its limits where a variable sets one. */
function readBreaker(reader, mode) {
  const limits = {};
  for (const option of optionsOf('breaker')) {
    const value = reader.read(option);
    if (value !== undefined) limits[option.name] = value;
  }
  return Object.keys(limits).length === 0 ? mode : { ...limits, mode };
}

/** The option `replica`; undefined where no variable names a host. */
function readReplica(reader, commonPort) {
  const read = (variable) => reader.read(variableNamed(variable));
  const host = read('DB_REPLICA_HOST');
  const port = read('DB_REPLICA_PORT');
  const max = read('DB_REPLICA_MAX');
  const maxLagMillis = read('DB_REPLICA_MAX_LAG');
  // A list of ports belongs to the list of hosts beside it.
  const usual = String(commonPort).includes(',') ? undefined : commonPort;
  const replica = { host, port: port ?? usual, max, maxLagMillis };
  return host === undefined
    ? undefined
    : Object.fromEntries(Object.entries(replica).filter(([, value]) => value !== undefined));
}

function valuesOf(given, tier) {
  const values = {};
  for (const option of COMMON) {
    const value = given[option.name] ?? valueInTier(option, tier);
    if (value !== undefined) values[option.name] = value;
  }
  return values;
}

/**
 * The value of an option in a tier where no variable sets it.
 * @param {import('./options').Option} option
 */
function valueInTier({ tiers }, tier) {
  return tiers !== null && typeof tiers === 'object' ? tiers[tier] : tiers;
}

/**
 * Where a tier connects: `<prefix>_HOST`, `_PORT` (lists, separated by commas, for several hosts),
 * `_TARGET_SESSION_ATTRS` and `_LOAD_BALANCE_HOSTS`. What a tier has none of its own for is that of all tiers.
 * @param {Record<string, any>} [common]
 */
function readPlace(reader, prefix, common = {}) {
  /** @type {Record<string, any>} */
  const own = {};
  for (const option of PLACE) {
    const value = reader.read(option, String(option.variable).replace(/^DB/, prefix));
    if (value !== undefined) own[option.name] = value;
  }
  const place = { ...common, ...own };
  // A list of ports belongs to the list of hosts beside it.
  if (own.host !== undefined && own.port === undefined && String(common.port).includes(','))
    place.port = undefined;
  return place;
}

function readCredentials(reader, tier) {
  const users = /** @type {Record<string, string>} */ (optionNamed('user', 'client').variable);
  const passwords = /** @type {Record<string, string>} */ (optionNamed('password', 'client').variable);
  const user = reader.text(users[tier]) ?? reader.text(users.common);
  const password = readPassword(reader, passwords[tier]) ?? readPassword(reader, passwords.common);
  return { ...(user !== undefined && { user }), ...(password !== undefined && { password }) };
}

/** The text of a variable, or a function that reads the file which `<variable>_FILE` names. */
function readPassword(reader, variable) {
  if (variable === undefined) return undefined;
  const text = reader.text(variable);
  const file = reader.read(variableNamed(`${variable}_FILE`));
  if (text !== undefined && reader.text(`${variable}_FILE`) !== undefined) {
    reader.problem(`${variable} and ${variable}_FILE must not be given together`);
  }
  return text ?? file;
}

function readSsl(reader) {
  const mode = reader.read(optionNamed('ssl', 'client'));
  const material = {};
  for (const [name, variable] of Object.entries({
    ca: 'DB_SSL_CA',
    key: 'DB_SSL_KEY',
    cert: 'DB_SSL_CERT',
  })) {
    const pem = reader.read(variableNamed(variable));
    if (pem !== undefined) material[name] = pem;
  }
  const hasMaterial = Object.keys(material).length > 0;
  if (mode === undefined && !hasMaterial) return {};
  if (mode === false) return { ssl: false };
  if (Boolean(reader.text('DB_SSL_KEY')) !== Boolean(reader.text('DB_SSL_CERT'))) {
    reader.problem('DB_SSL_KEY and DB_SSL_CERT must be given together');
  }
  if (mode === 'no-verify') material.rejectUnauthorized = false;
  return { ssl: Object.keys(material).length === 0 ? true : material };
}

function readSizes(reader, tier) {
  const [largest, smallest] = ['max', 'min'].map((name) => optionNamed(name, 'pool'));
  const max = reader.read(largest, largest.variable[tier]) ?? largest.tiers[tier];
  const min = reader.read(smallest, smallest.variable[tier]);
  if (min !== undefined && min > max) {
    reader.problem(`${smallest.variable[tier]} (${min}) must not exceed ${largest.variable[tier]} (${max})`);
  }
  // A maximum that was lowered takes the default minimum along.
  return { max, min: min ?? Math.min(smallest.tiers[tier], max) };
}

/** The tiers of `env`, which is read when one is first asked for: see Tiers. */
function environmentTiers(env = process.env) {
  const read = () => readEnvironment(env);
  return { names: TIERS, fallback: 'highPriority', ranks: RANKS, totalMaxName: 'DB_TOTAL_MAX', read };
}

/** What is wrong with a budget, of this name, for these pools. */
function budgetProblems(totalMax, pools, name) {
  const guaranteed = pools.reduce((sum, { min }) => sum + min, 0);
  if (totalMax === undefined || guaranteed <= totalMax) return [];
  return [`${name} (${totalMax}) must not be below the minimums of the tiers together (${guaranteed})`];
}

// All the way down, but for TLS options: pg makes their key non-enumerable, which needs them open.
function freeze(configuration) {
  for (const options of [configuration.shared, ...Object.values(configuration.tiers)]) {
    Object.defineProperty(options, 'password', { value: options.password, enumerable: false });
    Object.freeze(options);
  }
  Object.freeze(configuration.tiers);
  return Object.freeze(configuration);
}

module.exports = { budgetProblems, environmentTiers, freeze, readEnvironment, valueInTier };
