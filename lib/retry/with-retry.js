'use strict';

// Statements and transactions with retry, as functions: on the tier for what is urgent, or on any pool.

const { transaction } = require('./transaction');

const MAX_RETRIES = 3;
const BASE_DELAY_MILLIS = 1000;

/** The functions, for pools that `getPool` gives. */
function dbUtils(getPool) {
  const poolOf = ({ pool } = {}) => pool ?? getPool('highPriority');

  /**
   * Runs one statement. What may have run already runs again only with `idempotent` or `readOnly`.
   * @param query the text, or a config as of `pool.query`
   * @param options `pool`, `idempotent`, `readOnly`, `deadline`, `retryOn`
   */
  async function executeQueryWithRetry(
    query,
    values,
    maxRetries = MAX_RETRIES,
    baseDelay = BASE_DELAY_MILLIS,
    options = {},
  ) {
    const { pool, ...wishes } = options;
    const config = typeof query === 'string' ? { text: query } : query;
    return poolOf({ pool }).query(
      { ...config, ...wishes, retryAttempts: maxRetries, retryDelay: baseDelay },
      values,
    );
  }

  /**
   * Runs statements in one transaction, and all of it again when the server has rolled it back.
   * @param queries `[{ query, values }]`
   * @param options `pool` and those of `pool.transaction`
   * @returns their results in order
   */
  async function executeTransactionWithRetry(
    queries,
    maxRetries = MAX_RETRIES,
    baseDelay = BASE_DELAY_MILLIS,
    options = {},
  ) {
    if (!Array.isArray(queries)) throw new TypeError('a transaction takes an array of { query, values }');
    const { pool, ...rest } = options;
    const all = async (client) => {
      const results = [];
      for (const { query, values } of queries) results.push(await client.query(query, values));
      return results;
    };
    return transaction(poolOf({ pool }), all, { ...rest, retries: maxRetries, retryDelay: baseDelay });
  }

  return { executeQueryWithRetry, executeTransactionWithRetry };
}

module.exports = { dbUtils };
