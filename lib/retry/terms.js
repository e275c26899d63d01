'use strict';

// The terms of a retry: what the core gets to know of a failed run so that it can decide on another one, and
// the error that the caller gets when there is none. The decision itself is the core's.

const { DatabaseError, RetryBudgetError, failureReason, setAmbiguous } = require('../errors');
const { NO_RETRY, REASONS, STAGES } = require('../native/layout');
const { invalidOption, retryOptionsOf } = require('../statement/retry-options');
const { monotonicNow } = require('../async/timers');

const OF_CONNECTION = new Set([REASONS.LOST, REASONS.ENDED, REASONS.CONNECT_TIMEOUT]);
const MAX_CAUSES = 8;
const MAX_ATTEMPTS = 0xffffffff;

/** The error and its chain of causes: applications wrap what they catch. */
function* causes(error) {
  for (let i = 0; i < MAX_CAUSES && error !== null && typeof error === 'object'; i++) {
    yield error;
    error = error.cause;
  }
}

function codeOf(error) {
  return databaseErrorOf(error)?.code;
}

/** Whether the server, or a pooler before it, has closed the connection with this error. */
function isFatal(error) {
  const severity = databaseErrorOf(error)?.severity;
  return severity === 'FATAL' || severity === 'PANIC';
}

/** @returns {(InstanceType<typeof DatabaseError> & { code?: string, severity?: string })|undefined} */
function databaseErrorOf(error) {
  for (const one of causes(error)) if (one instanceof DatabaseError) return one;
  return undefined;
}

/** Whether the error comes from the connection, and not from the application's own code. */
function isConnectionError(error) {
  for (const one of causes(error)) {
    if (one instanceof DatabaseError || one.syscall !== undefined || OF_CONNECTION.has(failureReason(one)))
      return true;
  }
  return false;
}

/** The error, with a RetryBudgetError as its cause where the budget refused another run. */
function withBudgetCause(error, { reason, tier }) {
  if (reason === NO_RETRY.BUDGET && Object.isExtensible(error) && error.cause === undefined) {
    const cause = new RetryBudgetError(undefined, { tier: tier ?? undefined });
    Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
  }
  return error;
}

/** The error, which says that a run may have taken effect; `first` is what that run failed with, if one may. */
function withAmbiguity(error, first) {
  if (first === undefined || !Object.isExtensible(error)) return error;
  setAmbiguous(error, error !== first);
  const last = [...causes(error)].at(-1);
  if (error === first || last === first || !Object.isExtensible(last)) return error;
  Object.defineProperty(last, 'cause', { value: first, configurable: true, writable: true });
  if (isConnectionError(error)) error.message = `${error.message} (an earlier attempt may have taken effect)`;
  return error;
}

/**
 * Terms for a query of a pool that runs on a client; undefined: it never runs again.
 * @param {Record<string, any>|undefined} options of the pool
 * @param config the query as it was given
 */
function termsOf(options = {}, config) {
  const given = (config !== null && typeof config === 'object' && retryOptionsOf(config)) || {};
  const attempts = numberOf(given.retryAttempts ?? options.retryAttempts ?? options.maxRetries);
  // Invalid options are the statement's to report.
  if (!(attempts > 0) || typeof config.submit === 'function' || invalidOption(given) !== undefined)
    return undefined;
  const deadline = numberOf(given.deadline ?? options.deadline);
  const text = typeof config === 'string' ? config : config.text;
  return {
    stage: STAGES.STATEMENT,
    text: typeof text === 'string' ? text.toWellFormed() : undefined,
    idempotent: Boolean(config.idempotent || config.readOnly),
    attempts: Math.min(Math.round(attempts), MAX_ATTEMPTS),
    baseMillis: numberOf(given.retryDelay ?? options.retryDelay ?? options.baseDelay),
    codes: given.retryOn ?? [],
    until: deadline ? monotonicNow() + deadline : undefined,
  };
}

/** The number in an option of a pool, where it may be written as text. */
function numberOf(option) {
  return option === undefined || option === null ? undefined : Number(option) || 0;
}

/** The failed run, as `RetryDecision` takes it. */
function failedRun({ until, ...terms }, retries, error, lost) {
  const remainingMillis = until === undefined ? undefined : Math.max(0, until - monotonicNow());
  return { ...terms, remainingMillis, retries, code: codeOf(error), lost: lost && isConnectionError(error) };
}

module.exports = { codeOf, failedRun, isConnectionError, isFatal, termsOf, withAmbiguity, withBudgetCause };
