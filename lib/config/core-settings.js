'use strict';

// What the native core is told when a pool or a client begins: the parameters of the connection and the
// sizes and times of the pool, in the core's own words (docs/design/boundary.md, "Settings as JSON").

const { ConfigurationError } = require('../errors');
const { hostsOf, isBalanced } = require('./hosts');
const { isMonitored } = require('./monitor-switch');
const { checkTls, isCarriedByNode, tlsSettings } = require('./tls-options');

const SCRAM_ITERATIONS = 100000;

/**
 * Refuses what nobody could serve.
 * @throws Error naming the option
 */
function refuseUnserved(options) {
  if (options == null || typeof options !== 'object') return;
  if (options.connection) throw new Error('the `connection` option is not supported');
  checkTls(options.ssl);
}

/** The most SCRAM iterations a server may ask for: a number, or one written as text; 0: any. */
function scramIterations(option) {
  const usable = typeof option === 'number' || (typeof option === 'string' && option.trim() !== '');
  return usable && Number.isFinite(Number(option)) ? Number(option) : SCRAM_ITERATIONS;
}

/** The startup parameters beyond user and database. */
function startup(client) {
  const { user, database, ...rest } = client.getStartupConf();
  const named = {};
  for (const [name, setting] of Object.entries(rest)) named[name] = String(setting);
  named.client_encoding = 'UTF8';
  return {
    user: user == null ? '' : String(user),
    database: database == null ? '' : String(database),
    named,
  };
}

/** Milliseconds, a count or seconds; what is falsy means "as in pg: none", what is absent the core's default. */
function number(option) {
  if (option === undefined || option === null) return undefined;
  return Number(option) || 0;
}

/** The port, refused in the words of Node's sockets. */
function port(given) {
  if (Number.isInteger(given) && given >= 0 && given < 65536) return given;
  const error = new RangeError(`Port should be >= 0 and < 65536. Received type ${typeof given} (${given}).`);
  error.code = 'ERR_SOCKET_BAD_PORT';
  throw error;
}

function size(name, option) {
  const given = Number(option);
  if (Number.isNaN(given)) throw new TypeError(`the option \`${name}\` must be a number`);
  return given;
}

/** A limit of the breaker; undefined, as most are, means the core's default. */
function limit(breaker, name) {
  return breaker[name] == null ? undefined : size(`breaker.${name}`, breaker[name]);
}

/** Of one client: what it takes to connect. */
function connectionSettings(client, options) {
  const parameters = client.connectionParameters;
  const { user, database, named } = startup(client);
  const password = client.password;
  return {
    hosts: hostsOf(parameters).map((one) => ({ host: one.host, port: port(one.port) })),
    targetSessionAttrs: parameters.targetSessionAttrs,
    loadBalanceHosts: isBalanced(parameters.loadBalanceHosts),
    user,
    database,
    password: typeof password === 'string' ? password : null,
    askPassword: typeof password !== 'string',
    parameters: named,
    dial: isCarriedByNode(options, parameters.ssl),
    tls: isCarriedByNode(options, parameters.ssl) ? null : tlsSettings(parameters),
    channelBinding: client.enableChannelBinding,
    scramMaxIterations: client.scramMaxIterations,
    connectionTimeoutMillis: number(options.connectionTimeoutMillis) || 0,
    pipeline: Boolean(options.pipeline),
    keepAlive: Boolean(options.keepAlive),
    keepAliveInitialDelayMillis: number(options.keepAliveInitialDelayMillis) || 0,
    tcpUserTimeoutMillis: number(options.tcpUserTimeoutMillis),
    statementCacheSize: number(options.statementCacheSize),
  };
}

/** Of a client that stands alone: a pool of one, whose connection is lent for life. */
function clientSettings(client, options) {
  const alone = { tier: null, monitor: false, tellLogin: true, max: 1, min: 0, idleTimeoutMillis: 0 };
  return { ...connectionSettings(client, options), ...alone };
}

const BREAKER_LIMITS = [
  'failureRate',
  'minimumCalls',
  'windowMillis',
  'failedConnects',
  'openMillis',
  'maxOpenMillis',
  'successes',
];
const BREAKER_MODES = ['off', 'metrics', 'enforce', 'forced-open'];

/** An off switch: false and 'off' switch off. */
function switchedOn(name, setting) {
  if (setting === undefined || setting === null || setting === true || setting === 'on') return true;
  if (setting === false || setting === 'off') return false;
  throw new TypeError(`${name} must be on or off`);
}

/** A mode of the breaker; true means 'enforce', false 'off'. */
function breakerMode(setting) {
  if (setting === undefined || setting === null || setting === false) return 'off';
  if (setting === true || setting === 'on') return 'enforce';
  if (BREAKER_MODES.includes(setting)) return setting;
  throw new TypeError(`breaker must be one of ${BREAKER_MODES.join(', ')}`);
}

function checkRetry(setting) {
  switchedOn('retry', setting);
}

function checkBreaker(setting) {
  breakerMode(setting);
}

/** Retry and breaker of a pool: none unless the options ask for them. */
function failsafeSettings(options) {
  const { breaker } = options;
  const limits = breaker !== null && typeof breaker === 'object' ? breaker : {};
  return {
    retry: switchedOn('retry', options.retry),
    retryAttempts: number(options.retryAttempts ?? options.maxRetries),
    retryDelayMillis: number(options.retryDelay ?? options.baseDelay),
    deadlineMillis: number(options.deadline),
    breaker: {
      mode: breakerMode(limits === breaker ? (limits.mode ?? 'enforce') : breaker),
      ...Object.fromEntries(BREAKER_LIMITS.map((name) => [name, limit(limits, name)])),
    },
  };
}

/**
 * Refuses what would be taken for nothing, or fail far from where it was written. What pg has a meaning for,
 * as a `min` above `max`, is no business of this.
 * @throws ConfigurationError naming every such option
 */
function checkOptions(options) {
  const { breaker, deadline, log } = options;
  const problems = [];
  if (deadline != null && !(Number(deadline) >= 0)) problems.push('deadline must be a number of at least 0');
  if (log && typeof log !== 'function') problems.push('log must be a function');
  if (breaker !== null && typeof breaker === 'object') {
    const members = ['mode', ...BREAKER_LIMITS];
    const unknown = Object.keys(breaker).filter((name) => !members.includes(name));
    problems.push(...unknown.map((name) => `breaker.${name} is none of ${members.join(', ')}`));
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  failsafeSettings(options);
}

/** Of a pool; `client` is built from the same options and speaks for all its connections. */
function poolSettings(client, options) {
  const maxUses = Number(options.maxUses);
  return {
    tier: options.tier ?? null,
    monitor: isMonitored(options),
    enhanced: Boolean(options.enhanced),
    ...connectionSettings(client, options),
    max: size('max', options.max),
    min: size('min', options.min),
    idleTimeoutMillis: number(options.idleTimeoutMillis) || 0,
    acquireTimeoutMillis: number(options.acquireTimeoutMillis),
    maxUses: Number.isFinite(maxUses) ? maxUses : null,
    maxLifetimeSeconds: number(options.maxLifetimeSeconds) || 0,
    validateAfterIdleMillis: number(options.validateAfterIdleMillis),
    maxWaiting: number(options.maxWaiting),
    failFast: options.failFast,
    budget: options.budget,
    // pg waits for lent clients for as long as they take.
    drainTimeoutMillis: number(options.drainTimeoutMillis) || 0,
    ...failsafeSettings(options),
  };
}

module.exports = {
  breakerMode,
  checkBreaker,
  checkOptions,
  checkRetry,
  clientSettings,
  poolSettings,
  refuseUnserved,
  scramIterations,
  switchedOn,
};
