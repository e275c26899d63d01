'use strict';

// executeQueryWithRetry and executeTransactionWithRetry: on the pool of `getPool()`, or on the one that is given.

const { transaction } = require('./transaction');

const DEFAULT_RETRIES = 3;
const DEFAULT_DELAY_MILLIS = 1000;

/** Retries and delay, given in a row or as members of the options. */
function retryArguments(maxRetries, baseDelay, options) {
  const given =
    maxRetries !== null && typeof maxRetries === 'object'
      ? maxRetries
      : { maxRetries, baseDelay, ...options };
  return {
    ...given,
    maxRetries: given.maxRetries ?? DEFAULT_RETRIES,
    baseDelay: given.baseDelay ?? DEFAULT_DELAY_MILLIS,
  };
}

/** Both functions, for a set of tiers. */
function dbUtils(getPool) {
  /**
   * Runs one statement. One that may have run already is repeated only with `idempotent` or `readOnly`.
   * @param query the text, or a config as of `pool.query`
   * @param maxRetries a number, or the options with `maxRetries` and `baseDelay` among them
   * @param options `pool`, `idempotent`, `readOnly`, `deadline`, `retryOn`
   */
  async function executeQueryWithRetry(query, values, maxRetries, baseDelay, options) {
    const { pool = getPool(), ...retryOptions } = retryArguments(maxRetries, baseDelay, options);
    const config = typeof query === 'string' ? { text: query } : query;
    return pool.query({ ...config, ...retryOptions }, values);
  }

  /**
   * Runs statements in one transaction, which is repeated as a whole when the server has rolled it back.
   * @param queries `[{ query, values }]`, or texts and configs as of `client.query`
   * @param maxRetries a number, or the options with `maxRetries` and `baseDelay` among them
   * @param options `pool` and those of `pool.transaction`
   * @returns their results in order
   */
  async function executeTransactionWithRetry(queries, maxRetries, baseDelay, options) {
    if (!Array.isArray(queries)) throw new TypeError('a transaction takes an array of { query, values }');
    const { pool = getPool(), ...transactionOptions } = retryArguments(maxRetries, baseDelay, options);
    const runAll = async (client) => {
      const results = [];
      for (const one of queries)
        results.push(
          await (one.query === undefined ? client.query(one) : client.query(one.query, one.values)),
        );
      return results;
    };
    return transaction(pool, runAll, transactionOptions, queries);
  }

  return { executeQueryWithRetry, executeTransactionWithRetry };
}

module.exports = { dbUtils };
