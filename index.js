'use strict';

// The public face: pg's names first, in pg's order, then our own. Names, nothing else.

const Client = require('./lib/client');
const Connection = require('./lib/connection');
const Pool = require('./lib/pool/pool');
const Result = require('./lib/result');
const Tiers = require('./lib/pool/tiers');
const TypeOverrides = require('./lib/type-overrides');
const defaults = require('./lib/defaults');
const errors = require('./lib/errors');
const monitor = require('./lib/monitor');
const { onLog } = require('./lib/monitor/event-log');
const utils = require('./lib/utils');
const { dbUtils } = require('./lib/retry/with-retry');
const { addSwitch, choiceOf, configure } = require('./lib/config/runtime-switches');
const { escapeIdentifier, escapeLiteral } = require('./lib/encode/escape');
const { checkBreaker, checkRetry } = require('./lib/config/core-settings');

class BoundPool extends Pool {
  constructor(options) {
    super(options, Client);
  }
}

const tiers = new Tiers(BoundPool);
const monitors = new monitor.Monitors((name) => tiers.getPool(name));
addSwitch('tiers', { check: choiceOf('tiers', 'on', 'off'), apply: (position) => tiers.switch(position) });
// As DB_RETRY=off: without retries a failed connect fails its caller at once.
const failFast = (retry) => retry === false || retry === 'off';
addSwitch('retry', {
  check: checkRetry,
  apply: (retry) => tiers.configure({ retry, failFast: failFast(retry) }),
});
addSwitch('sizes', { check: (sizes) => tiers.checkSizes(sizes), apply: (sizes) => tiers.resize(sizes) });
addSwitch('monitor', {
  check: choiceOf('monitor', 'on', 'off'),
  apply: (position) => tiers.measure(position),
});
addSwitch('breaker', { check: checkBreaker, apply: (breaker) => tiers.configure({ breaker }) });

module.exports = {
  defaults,
  Client,
  Query: Client.Query,
  Pool: BoundPool,
  _pools: [],
  Connection,
  types: require('pg-types'),
  DatabaseError: errors.DatabaseError,
  TypeOverrides,
  escapeIdentifier,
  escapeLiteral,
  Result,
  utils,

  getPool: (name) => tiers.getPool(name),
  pools: tiers.pools,
  endPools: () => tiers.end(),
  configure,
  ...dbUtils((name) => tiers.getPool(name)),
  AcquireTimeoutError: errors.AcquireTimeoutError,
  PoolFullError: errors.PoolFullError,
  CircuitOpenError: errors.CircuitOpenError,
  RetryBudgetError: errors.RetryBudgetError,
  CommitOutcomeUnknownError: errors.CommitOutcomeUnknownError,
  ConfigurationError: errors.ConfigurationError,

  metrics: monitor.metrics,
  metricsText: monitor.metricsText,
  ConnectionHealthMonitor: monitor.ConnectionHealthMonitor,
  monitors,
  monitorServer: monitor.monitorServer,
  onLog,
  useOpenTelemetry: (options) => monitor.useOpenTelemetry({ Client, Pool }, options),
};

// pg's binding to libpq; this package has none, so it answers as pg does where pg-native is absent.
Object.defineProperty(/** @type {object} */ (module.exports), 'native', {
  configurable: true,
  enumerable: false,
  get: () => null,
});
