'use strict';

// What the core is told of a run on a client that failed, to decide whether it begins again, and what the
// caller is told when it does not.

const { performance } = require('node:perf_hooks');
const { DatabaseError, RetryBudgetError } = require('../errors');
const { misuseOf, wishesOf } = require('../statement/retry-options');

const CAUSES_LOOKED_AT = 8;
const MOST_ATTEMPTS = 0xffffffff;

/** Whether the connection cannot be used any more. */
function isGone(client) {
  return client._fatal !== null || client._ended || !client._queryable || client._ending;
}

/** The error and what caused it, as far as somebody wrapped it. */
function* causes(error) {
  for (let i = 0; i < CAUSES_LOOKED_AT && error !== null && typeof error === 'object'; i++) {
    yield error;
    error = error.cause;
  }
}

function codeOf(error) {
  for (const one of causes(error)) if (one instanceof DatabaseError) return one.code;
  return undefined;
}

/** Whether an error is about the connection; the application's own error stays its own. */
function speaksOfLoss(error) {
  for (const one of causes(error)) {
    if (one instanceof DatabaseError || one.syscall !== undefined) return true;
    const { message } = one;
    if (
      typeof message === 'string' &&
      /^(Connection terminated|Client (has encountered|was closed))/.test(message)
    )
      return true;
  }
  return false;
}

/** The failure, with a spent budget as its cause. */
function explained(error, refusal) {
  if (refusal.message === 'budget' && Object.isExtensible(error) && error.cause === undefined) {
    const cause = new RetryBudgetError(undefined, { tier: refusal.tier ?? undefined });
    Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
  }
  return error;
}

/**
 * The terms on which a pool's query that runs on a client may run again; undefined: not at all.
 * @param options of the pool
 * @param config the query as it was given
 */
function termsOf(options = {}, config) {
  const wishes = (config !== null && typeof config === 'object' && wishesOf(config)) || {};
  const attempts = numberOf(wishes.retryAttempts ?? options.retryAttempts ?? options.maxRetries);
  // What makes no sense is told by the statement itself.
  if (!(attempts > 0) || typeof config.submit === 'function' || misuseOf(wishes) !== undefined)
    return undefined;
  const deadline = numberOf(wishes.deadline ?? options.deadline);
  const text = typeof config === 'string' ? config : config.text;
  return {
    stage: 'statement',
    text: typeof text === 'string' ? text.toWellFormed() : undefined,
    idempotent: Boolean(config.idempotent || config.readOnly),
    attempts: Math.min(Math.round(attempts), MOST_ATTEMPTS),
    baseMillis: numberOf(wishes.retryDelay ?? options.retryDelay ?? options.baseDelay),
    codes: wishes.retryOn ?? [],
    until: deadline ? performance.now() + deadline : undefined,
  };
}

/** An option of the pool's may be a number written as text. */
function numberOf(option) {
  return option === undefined || option === null ? undefined : Number(option) || 0;
}

/** What the core decides on. */
function runOf({ until, ...terms }, retries, error, lost) {
  const remainingMillis = until === undefined ? undefined : Math.max(0, until - performance.now());
  return { ...terms, remainingMillis, retries, code: codeOf(error), lost: lost && speaksOfLoss(error) };
}

module.exports = { codeOf, explained, isGone, runOf, speaksOfLoss, termsOf };
