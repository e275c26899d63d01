// The same names for `import`: static, so that bundlers and type checkers see them.

import pg from './index.js';

export const Client = pg.Client;
export const Pool = pg.Pool;
export const Connection = pg.Connection;
export const types = pg.types;
export const Query = pg.Query;
export const DatabaseError = pg.DatabaseError;
export const escapeIdentifier = pg.escapeIdentifier;
export const escapeLiteral = pg.escapeLiteral;
export const Result = pg.Result;
export const TypeOverrides = pg.TypeOverrides;
export const defaults = pg.defaults;

export const getPool = pg.getPool;
export const pools = pg.pools;
export const endPools = pg.endPools;
export const configure = pg.configure;
export const createTiers = pg.createTiers;
export const executeQueryWithRetry = pg.executeQueryWithRetry;
export const executeTransactionWithRetry = pg.executeTransactionWithRetry;
export const AcquireTimeoutError = pg.AcquireTimeoutError;
export const PoolFullError = pg.PoolFullError;
export const CircuitOpenError = pg.CircuitOpenError;
export const RetryBudgetError = pg.RetryBudgetError;
export const CommitOutcomeUnknownError = pg.CommitOutcomeUnknownError;
export const ConfigurationError = pg.ConfigurationError;

export const metrics = pg.metrics;
export const metricsText = pg.metricsText;
export const ConnectionHealthMonitor = pg.ConnectionHealthMonitor;
export const monitors = pg.monitors;
export const monitorServer = pg.monitorServer;
export const onLog = pg.onLog;
export const useOpenTelemetry = pg.useOpenTelemetry;

export default pg;
