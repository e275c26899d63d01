'use strict';

// executeQueryWithRetry and executeTransactionWithRetry: on the tier highPriority, or on the pool that is given.

const { transaction } = require('./transaction');

const DEFAULT_RETRIES = 3;
const DEFAULT_DELAY_MILLIS = 1000;

/** Both functions, for the pools of `getPool`. */
function dbUtils(getPool) {
  const poolOf = ({ pool } = {}) => pool ?? getPool('highPriority');

  /**
   * Runs one statement. One that may have run already is repeated only with `idempotent` or `readOnly`.
   * @param query the text, or a config as of `pool.query`
   * @param options `pool`, `idempotent`, `readOnly`, `deadline`, `retryOn`
   */
  async function executeQueryWithRetry(
    query,
    values,
    maxRetries = DEFAULT_RETRIES,
    baseDelay = DEFAULT_DELAY_MILLIS,
    options = {},
  ) {
    const { pool, ...retryOptions } = options;
    const config = typeof query === 'string' ? { text: query } : query;
    return poolOf({ pool }).query(
      { ...config, ...retryOptions, retryAttempts: maxRetries, retryDelay: baseDelay },
      values,
    );
  }

  /**
   * Runs statements in one transaction, which is repeated as a whole when the server has rolled it back.
   * @param queries `[{ query, values }]`
   * @param options `pool` and those of `pool.transaction`
   * @returns their results in order
   */
  async function executeTransactionWithRetry(
    queries,
    maxRetries = DEFAULT_RETRIES,
    baseDelay = DEFAULT_DELAY_MILLIS,
    options = {},
  ) {
    if (!Array.isArray(queries)) throw new TypeError('a transaction takes an array of { query, values }');
    const { pool, ...rest } = options;
    const runAll = async (client) => {
      const results = [];
      for (const { query, values } of queries) results.push(await client.query(query, values));
      return results;
    };
    return transaction(poolOf({ pool }), runAll, { ...rest, retries: maxRetries, retryDelay: baseDelay });
  }

  return { executeQueryWithRetry, executeTransactionWithRetry };
}

module.exports = { dbUtils };
