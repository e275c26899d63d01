'use strict';

// Retry options of one query: `deadline`, `retryAttempts`, `retryDelay`, `retryOn`.

const MAX_MILLIS = 0x7fffffff;
const SQLSTATE = /^[0-9A-Z]{5}$/;

/** @typedef {{ deadline?: number, retryAttempts?: number, retryDelay?: number, retryOn?: string[] }} RetryOptions */

/**
 * The retry options in a query's config; undefined when there are none.
 * @returns {RetryOptions|undefined}
 */
function retryOptionsOf(config) {
  const { deadline, retryOn } = config;
  const retryAttempts = config.retryAttempts ?? config.maxRetries;
  const retryDelay = config.retryDelay ?? config.baseDelay;
  if (deadline == null && retryOn == null && retryAttempts == null && retryDelay == null) return undefined;
  return { deadline, retryAttempts, retryDelay, retryOn };
}

/**
 * The error of an option that is out of its range; undefined: none is.
 * @param {RetryOptions} options
 */
function invalidOption({ deadline, retryAttempts, retryDelay, retryOn }) {
  for (const [name, value] of Object.entries({ deadline, retryAttempts, retryDelay })) {
    if (value == null) continue;
    if (typeof value !== 'number' || !(value >= 0 && value <= MAX_MILLIS)) {
      return new TypeError(`${name} must be a number from 0 to ${MAX_MILLIS}`);
    }
  }
  if (retryOn == null) return undefined;
  if (Array.isArray(retryOn) && retryOn.every((code) => SQLSTATE.test(code))) return undefined;
  return new TypeError('retryOn must be an array of SQLSTATE codes');
}

module.exports = { retryOptionsOf, invalidOption };
