'use strict';

// The core's settings of a pool or a client, as JSON (docs/design/boundary.md, "Settings as JSON"): the parameters
// of the connection, and the options that the table of options marks as the core's.

const { ConfigurationError } = require('../errors');
const { replacedLookup } = require('./dns-lookup');
const { hostList, hostsOf, isBalanced } = require('./hosts');
const { isMonitored } = require('./monitor-switch');
const { given, optionNamed, optionsOf } = require('./options');
const { checkTls, tlsRoute } = require('./tls-options');

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
  return usable && Number.isFinite(Number(option))
    ? Number(option)
    : optionNamed('scramMaxIterations').default;
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

/** A number as pg takes it: what makes no sense is 0. */
function number(value) {
  return value === undefined ? undefined : Number(value) || 0;
}

/** The options of an owner that the core reads, under its names. */
function coreOptions(owner, options) {
  const settings = {};
  for (const option of optionsOf(owner)) {
    if (!option.core) continue;
    const value = given(option, options) ?? option.default;
    const name = option.core === true ? option.name : option.core;
    settings[name] = option.kind === 'flag' ? Boolean(value) : number(value);
  }
  return settings;
}

/** The port, refused in the words of Node's sockets. */
function port(given) {
  if (Number.isInteger(given) && given >= 0 && given < 65536) return given;
  /** @type {RangeError & { code?: string }} */
  const error = new RangeError(`Port should be >= 0 and < 65536. Received type ${typeof given} (${given}).`);
  error.code = 'ERR_SOCKET_BAD_PORT';
  throw error;
}

function size(name, option) {
  const given = Number(option);
  if (Number.isNaN(given)) throw new TypeError(`the option \`${name}\` must be a number`);
  return given;
}

/** What it takes to connect. */
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
    ...tlsRoute(options, parameters),
    lookup: replacedLookup() !== undefined,
    channelBinding: client.enableChannelBinding,
    scramMaxIterations: client.scramMaxIterations,
    requireAuth: parameters.requireAuth,
    statementCacheSize: number(parameters.statementCacheSize),
    ...coreOptions('client', options),
  };
}

/** Settings of a client that stands alone: a pool of one, whose connection is leased for life. */
function clientSettings(client, options) {
  const alone = { tier: null, monitor: false, tellLogin: true, max: 1, min: 0, idleTimeoutMillis: 0 };
  return { ...connectionSettings(client, options), ...alone };
}

const REPLICA = ['host', 'port', 'max', 'maxLagMillis'];
const LOW_PRIORITY = 'lowPriority';
const BREAKER_LIMITS = optionsOf('breaker').filter(({ name }) => name !== 'mode');
const BREAKER_MODES = optionNamed('mode', 'breaker').choices;

/** An off switch: false and 'off' switch off. */
function switchedOn(name, setting) {
  if (setting === undefined || setting === null || setting === true || setting === 'on') return true;
  if (setting === false || setting === 'off') return false;
  throw new TypeError(`${name} must be on or off`);
}

/** The mode of the breaker; true means 'enforce', false 'off'. */
function breakerMode(setting) {
  if (setting === undefined || setting === null || setting === false) return 'off';
  if (setting === true || setting === 'on') return 'enforce';
  if (BREAKER_MODES.includes(setting)) return setting;
  throw new TypeError(`breaker must be one of ${BREAKER_MODES.join(', ')}`);
}

function checkRetry(setting) {
  switchedOn('retry', setting);
}

function checkAdaptive(setting) {
  switchedOn('adaptive', setting);
}

/**
 * Refuses a breaker that makes no sense: an unknown mode, a limit that is unknown or no number.
 * @throws TypeError
 */
function checkBreaker(setting) {
  const unknown = unknownLimits(setting);
  if (unknown.length > 0) throw new TypeError(unknown.join('; '));
  breakerSettings(setting);
}

function unknownLimits(breaker) {
  if (breaker === null || typeof breaker !== 'object') return [];
  const members = optionsOf('breaker').map(({ name }) => name);
  const unknown = Object.keys(breaker).filter((name) => !members.includes(name));
  return unknown.map((name) => `breaker.${name} is none of ${members.join(', ')}`);
}

/** The mode of the breaker and all of its limits. */
function breakerSettings(breaker) {
  const isObject = breaker !== null && typeof breaker === 'object';
  const limits = isObject ? breaker : {};
  return {
    ...Object.fromEntries(BREAKER_LIMITS.map((option) => [option.name, breakerLimit(option, limits)])),
    mode: breakerMode(isObject ? (breaker.mode ?? 'enforce') : breaker),
  };
}

/** A breaker after a change: a mode changes the mode alone, an object what it names. */
function changedBreaker(before, change) {
  const changed = { ...asBreaker(before), ...asBreaker(change) };
  const names = Object.keys(changed);
  if (names.length === 0) return undefined;
  return names.length === 1 && names[0] === 'mode' ? changed.mode : changed;
}

function asBreaker(setting) {
  if (setting === undefined) return {};
  return setting !== null && typeof setting === 'object' ? setting : { mode: breakerMode(setting) };
}

/** Retry, breaker and adaptive limits of a pool: none unless the options ask for them. */
function policySettings(options) {
  return {
    retry: switchedOn('retry', options.retry),
    breaker: breakerSettings(options.breaker),
    adaptive: switchedOn('adaptive', options.adaptive ?? optionNamed('adaptive', 'pool').default),
  };
}

function breakerLimit(option, limits) {
  return size(`breaker.${option.name}`, given(option, limits) ?? option.default);
}

/**
 * Refuses what would be taken for nothing, or fail far from where it was written. Options that pg has a meaning for,
 * as a `min` above `max`, keep that meaning.
 * @throws ConfigurationError naming every such option
 */
function checkOptions(options) {
  const problems = optionsOf('pool').flatMap((option) => (option.early ? problemOf(option, options) : []));
  problems.push(...unknownLimits(options.breaker), ...replicaProblems(options.replica));
  if (problems.length > 0) throw new ConfigurationError(problems);
  policySettings(options);
}

/** What is wrong with the option `replica`: one line each. */
function replicaProblems(replica) {
  if (replica === undefined || replica === null) return [];
  if (typeof replica !== 'object') return ['replica must be an object'];
  const unknown = Object.keys(replica).filter((name) => !REPLICA.includes(name));
  const problems = unknown.map((name) => `replica.${name} is none of ${REPLICA.join(', ')}`);
  if (typeof replica.host !== 'string' || replica.host === '')
    problems.push('replica.host must be a host, or several');
  for (const name of ['max', 'maxLagMillis']) {
    if (replica[name] !== undefined && !(Number(replica[name]) >= 1))
      problems.push(`replica.${name} must be a number of at least 1`);
  }
  if (problems.length > 0) return problems;
  try {
    hostList(replica.host, replica.port).forEach((place) => port(place.port));
  } catch (error) {
    problems.push(`replica.port: ${error.message}`);
  }
  return problems;
}

/** @param {import('./options').Option} option */
function problemOf({ name, kind, from }, options) {
  const value = options[name];
  if (kind === 'function') return value && typeof value !== 'function' ? [`${name} must be a function`] : [];
  const isFine = value === undefined || value === null || Number(value) >= from;
  return isFine ? [] : [`${name} must be a number of at least ${from}`];
}

/** Settings of a pool; `client` is built from the same options and speaks for all its connections. */
function poolSettings(client, options) {
  const maxUses = Number(options.maxUses);
  return {
    tier: options.tier ?? null,
    // Tiers can be measured later, too.
    monitor: options.isTier === true || isMonitored(options),
    measured: options.isMeasured ?? isMonitored(options),
    ...connectionSettings(client, options),
    ...coreOptions('pool', options),
    max: size('max', options.max),
    min: size('min', options.min),
    // null is never; the default has been filled in.
    idleTimeoutMillis: number(options.idleTimeoutMillis ?? 0),
    maxUses: Number.isFinite(maxUses) ? maxUses : null,
    budget: options.budget,
    logsWarnings: Boolean(options.isTier),
    // Set by tiers, which know their ranks.
    givesWay: options.givesWay ?? options.tier === LOW_PRIORITY,
    ...policySettings(options),
  };
}

module.exports = {
  breakerSettings,
  changedBreaker,
  checkAdaptive,
  checkBreaker,
  checkOptions,
  checkRetry,
  clientSettings,
  poolSettings,
  refuseUnserved,
  scramIterations,
  switchedOn,
};
