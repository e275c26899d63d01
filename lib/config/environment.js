'use strict';

// The DB_* variables: parsed and validated at once, then frozen. Whatever is wrong is named in one
// error, so that a deployment is repaired in one round. What is not set here falls back to the PG*
// variables, as in pg. No password has a default.

const fs = require('node:fs');
const { ConfigurationError } = require('../errors');

const TIERS = ['highPriority', 'lowPriority', 'admin'];

// Each tier's own sizes and times; DB_IDLE_TIMEOUT and DB_CONNECTION_TIMEOUT, when set, go for all.
const TIER_DEFAULTS = {
  highPriority: { max: 30, min: 10, idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000 },
  lowPriority: { max: 10, min: 2, idleTimeoutMillis: 60000, connectionTimeoutMillis: 5000 },
  admin: { max: 5, min: 1, idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000 },
};
// The one pool of DB_TIERS=off.
const SHARED_DEFAULTS = { max: 20, min: 5, idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000 };

const ACQUIRE_TIMEOUT_MILLIS = 30000;
const RETRY_ATTEMPTS = 3;
// Below the idle limits of common firewalls and load balancers.
const KEEP_ALIVE_DELAY_MILLIS = 10000;
// Credentials and addresses of a server change; no connection outlives that for long.
const MAX_LIFETIME_SECONDS = 1800;
const DRAIN_TIMEOUT_MILLIS = 10000;
// A peer that acknowledges nothing for this long is gone: a query on it fails instead of hanging.
const TCP_USER_TIMEOUT_MILLIS = 20000;
// A queue longer than this is an outage, and memory is better spent than on it.
const MAX_WAITING = 10000;
const TARGETS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'];
const PREFIXES = { highPriority: 'DB_HIGH_PRIORITY', lowPriority: 'DB_LOW_PRIORITY', admin: 'DB_ADMIN' };
const MAX_PORT = 65535;
const MAX_MILLIS = 0x7fffffff;

/** Reads variables and collects what is wrong with them; an empty variable counts as not set. */
class Reader {
  constructor(env) {
    this.env = env;
    this.problems = [];
  }

  text(name) {
    const value = this.env[name];
    return value === undefined || value === '' ? undefined : value;
  }

  bad(name, wanted) {
    this.problems.push(`${name} must be ${wanted}, not ${JSON.stringify(this.env[name])}`);
  }

  integer(name, { from, to = MAX_MILLIS }) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = /^\s*\d+\s*$/.test(text) ? Number(text) : NaN;
    if (number >= from && number <= to) return number;
    this.bad(name, `a whole number from ${from} to ${to}`);
    return undefined;
  }

  choice(name, choices) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = text.trim().toLowerCase();
    if (Object.hasOwn(choices, value)) return choices[value];
    this.bad(name, `one of ${Object.keys(choices).join(', ')}`);
    return undefined;
  }

  flag(name) {
    return this.choice(name, {
      true: true,
      false: false,
      on: true,
      off: false,
      yes: true,
      no: false,
      1: true,
      0: false,
    });
  }

  /** PEM text itself (with \n written out, as some platforms store it), or the path of a file with it. */
  pem(name) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (text.includes('-----BEGIN')) return text.replace(/\\n/g, '\n');
    try {
      return fs.readFileSync(text, 'utf8');
    } catch (error) {
      // Not the value: a key that was pasted badly must not end in a log.
      this.problems.push(`${name} must be PEM text or the path of a readable file (${error.code})`);
      return undefined;
    }
  }
}

/**
 * The configuration that `env` describes.
 * @throws ConfigurationError naming every bad variable
 */
function readEnvironment(env = process.env) {
  const reader = new Reader(env);
  const tiered = reader.choice('DB_TIERS', { on: true, off: false }) ?? true;
  const common = readCommon(reader);
  const ssl = readSsl(reader);
  if (ssl !== undefined) common.ssl = ssl;

  const sizes = readSizes(reader);
  const admin = credentials(reader.text('DB_ADMIN_USER'), reader.text('DB_ADMIN_PASSWORD'));
  const totalMax = reader.integer('DB_TOTAL_MAX', { from: 1 });
  const retry = {
    enabled: reader.choice('DB_RETRY', { on: true, off: false }) ?? true,
    attempts: reader.integer('DB_RETRY_ATTEMPTS', { from: 0 }) ?? RETRY_ATTEMPTS,
    // Not set: statements begin with less, connects with a second.
    delayMillis: reader.integer('DB_RETRY_DELAY', { from: 0 }),
  };
  const breaker =
    reader.choice('DB_BREAKER', {
      on: 'enforce',
      enforce: 'enforce',
      metrics: 'metrics',
      'forced-open': 'forced-open',
      off: 'off',
    }) ?? 'enforce';
  const monitor = reader.choice('DB_MONITOR', { on: true, off: false }) ?? true;
  // Without retry a failed connect is told at once, as pg does.
  common.failFast = !retry.enabled;
  const places = {};
  for (const tier of TIERS) places[tier] = readPlace(reader, PREFIXES[tier], common);
  checkBudget(reader, totalMax, tiered, sizes);

  if (reader.problems.length > 0) throw new ConfigurationError(reader.problems);
  Object.assign(common, failsafe(retry, breaker));
  const tiers = {};
  for (const tier of TIERS) {
    tiers[tier] = { ...common, ...sizes[tier], ...places[tier], ...(tier === 'admin' ? admin : {}), tier };
  }
  return freeze({
    tiered,
    shared: { ...common, ...sizes.shared, tier: 'shared' },
    tiers,
    totalMax,
    retry,
    breaker,
    monitor,
  });
}

/** Retry and breaker, in the words of a pool's options. */
function failsafe({ enabled, attempts, delayMillis }, breaker) {
  const options = { retry: enabled, retryAttempts: attempts, breaker };
  if (delayMillis !== undefined) options.retryDelay = delayMillis;
  return options;
}

function readCommon(reader) {
  const keepAlive = reader.flag('DB_KEEP_ALIVE') ?? true;
  return {
    ...readPlace(reader, 'DB', { host: undefined, port: undefined }),
    database: reader.text('DB_NAME'),
    ...credentials(reader.text('DB_USER'), reader.text('DB_PASSWORD')),
    acquireTimeoutMillis: reader.integer('DB_ACQUIRE_TIMEOUT', { from: 0 }) ?? ACQUIRE_TIMEOUT_MILLIS,
    keepAlive,
    keepAliveInitialDelayMillis:
      reader.integer('DB_KEEP_ALIVE_DELAY', { from: 0 }) ?? KEEP_ALIVE_DELAY_MILLIS,
    enhanced: true,
    maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
    drainTimeoutMillis: DRAIN_TIMEOUT_MILLIS,
    tcpUserTimeoutMillis: TCP_USER_TIMEOUT_MILLIS,
    maxWaiting: reader.integer('DB_MAX_WAITING', { from: 1 }) ?? MAX_WAITING,
  };
}

/**
 * Where a tier connects: `<prefix>_HOST`, `_PORT` (lists, separated by commas, for several hosts),
 * `_TARGET_SESSION_ATTRS` and `_LOAD_BALANCE_HOSTS`. What a tier has none of its own for is `common`'s.
 */
function readPlace(reader, prefix, common) {
  const place = {};
  const host = reader.text(`${prefix}_HOST`);
  const port = readPorts(reader, `${prefix}_PORT`);
  place.host = host ?? common.host;
  // A list of ports belongs to the list of hosts beside it.
  const isListOfOthers = host !== undefined && String(common.port).includes(',');
  place.port = port ?? (isListOfOthers ? undefined : common.port);
  const target = reader.choice(
    `${prefix}_TARGET_SESSION_ATTRS`,
    Object.fromEntries(TARGETS.map((name) => [name, name])),
  );
  if (target !== undefined) place.targetSessionAttrs = target;
  const balance = reader.choice(`${prefix}_LOAD_BALANCE_HOSTS`, { random: 'random', disable: 'disable' });
  if (balance !== undefined) place.loadBalanceHosts = balance;
  return place;
}

/** One port as a number, several as they were written. */
function readPorts(reader, name) {
  const text = reader.text(name);
  if (text === undefined || !text.includes(',')) return reader.integer(name, { from: 1, to: MAX_PORT });
  const isPort = (port) =>
    /^\s*\d*\s*$/.test(port) && Number(port || 1) >= 1 && Number(port || 1) <= MAX_PORT;
  if (text.split(',').every(isPort)) return text;
  reader.bad(name, `whole numbers from 1 to ${MAX_PORT}, separated by commas`);
  return undefined;
}

function credentials(user, password) {
  const given = {};
  if (user !== undefined) given.user = user;
  if (password !== undefined) given.password = password;
  return given;
}

function readSsl(reader) {
  const mode = reader.choice('DB_SSL', {
    true: true,
    on: true,
    1: true,
    require: true,
    'verify-full': true,
    false: false,
    off: false,
    0: false,
    disable: false,
    'no-verify': 'no-verify',
  });
  const files = {};
  for (const [option, name] of Object.entries({ ca: 'DB_SSL_CA', key: 'DB_SSL_KEY', cert: 'DB_SSL_CERT' })) {
    const pem = reader.pem(name);
    if (pem !== undefined) files[option] = pem;
  }
  if (mode === false || (mode === undefined && Object.keys(files).length === 0)) return mode;
  if (Boolean(reader.text('DB_SSL_KEY')) !== Boolean(reader.text('DB_SSL_CERT'))) {
    reader.problems.push('DB_SSL_KEY and DB_SSL_CERT must be given together');
  }
  if (mode === 'no-verify') files.rejectUnauthorized = false;
  return Object.keys(files).length === 0 ? true : files;
}

function readSizes(reader) {
  const idle = reader.integer('DB_IDLE_TIMEOUT', { from: 0 });
  const connection = reader.integer('DB_CONNECTION_TIMEOUT', { from: 0 });
  const size = (defaults, maxName, minName) => {
    const max = reader.integer(maxName, { from: 1 }) ?? defaults.max;
    const min = reader.integer(minName, { from: 0 });
    if (min !== undefined && min > max)
      reader.problems.push(`${minName} (${min}) must not exceed ${maxName} (${max})`);
    return {
      max,
      // A maximum that was lowered takes the default minimum along.
      min: min ?? Math.min(defaults.min, max),
      idleTimeoutMillis: idle ?? defaults.idleTimeoutMillis,
      connectionTimeoutMillis: connection ?? defaults.connectionTimeoutMillis,
    };
  };
  return {
    shared: size(SHARED_DEFAULTS, 'DB_MAX_CONNECTIONS', 'DB_MIN_CONNECTIONS'),
    highPriority: size(TIER_DEFAULTS.highPriority, 'DB_HIGH_PRIORITY_MAX', 'DB_HIGH_PRIORITY_MIN'),
    lowPriority: size(TIER_DEFAULTS.lowPriority, 'DB_LOW_PRIORITY_MAX', 'DB_LOW_PRIORITY_MIN'),
    admin: size(TIER_DEFAULTS.admin, 'DB_ADMIN_MAX', 'DB_ADMIN_MIN'),
  };
}

function checkBudget(reader, totalMax, tiered, sizes) {
  if (totalMax === undefined || !tiered) return;
  const guaranteed = TIERS.reduce((sum, tier) => sum + sizes[tier].min, 0);
  if (guaranteed > totalMax) {
    reader.problems.push(
      `DB_TOTAL_MAX (${totalMax}) must not be below the minimums of the tiers together (${guaranteed})`,
    );
  }
}

// All the way down, but for TLS options: pg makes their key non-enumerable, which needs them open.
function freeze(configuration) {
  for (const options of [configuration.shared, ...Object.values(configuration.tiers)]) {
    Object.defineProperty(options, 'password', { value: options.password, enumerable: false });
    Object.freeze(options);
  }
  Object.freeze(configuration.tiers);
  Object.freeze(configuration.retry);
  return Object.freeze(configuration);
}

module.exports = { readEnvironment, TIERS };
