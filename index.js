'use strict';

// The public face: pg's names first, in pg's order, then our own. Names, nothing else.

const Client = require('./lib/client');
const Connection = require('./lib/connection');
const Pool = require('./lib/pool/pool');
const Result = require('./lib/result');
const TypeOverrides = require('./lib/type-overrides');
const defaults = require('./lib/defaults');
const errors = require('./lib/errors');
const monitor = require('./lib/monitor');
const { onLog } = require('./lib/monitor/event-log');
const utils = require('./lib/utils');
const { environmentTiers } = require('./lib/config/environment');
const { openTierSet } = require('./lib/pool/tier-set');
const { tierSet } = require('./lib/config/tier-set');
const { escapeIdentifier, escapeLiteral } = require('./lib/encode/escape');

class BoundPool extends Pool {
  constructor(options) {
    super(options, Client);
  }
}

// The tiers of the DB_* variables.
const { end: endPools, ...processTiers } = openTierSet(BoundPool, environmentTiers());

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

  ...processTiers,
  endPools,
  createTiers: (options) => openTierSet(BoundPool, tierSet(options)),
  AcquireTimeoutError: errors.AcquireTimeoutError,
  PoolFullError: errors.PoolFullError,
  CircuitOpenError: errors.CircuitOpenError,
  RetryBudgetError: errors.RetryBudgetError,
  CommitOutcomeUnknownError: errors.CommitOutcomeUnknownError,
  ConfigurationError: errors.ConfigurationError,

  metrics: monitor.metrics,
  metricsText: monitor.metricsText,
  ConnectionHealthMonitor: monitor.ConnectionHealthMonitor,
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
