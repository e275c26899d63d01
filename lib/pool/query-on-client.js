'use strict';

// A query of a pool on a client, as under pg, where somebody could notice the difference: a checkout, a query, a
// release. Retried on the terms of the pool.

const { inContext } = require('../async/callback-context');
const { isUsable } = require('../client/session-state');
const { KEEP } = require('./lease');
const { isOpen, keepsTransactions } = require('./open-transaction');
const leakDetection = require('../monitor/leak-detection');
const { callbackOrPromise } = require('../async/answer');
const { throwAsync } = require('../async/uncaught');
const { failedRun, termsOf, withAmbiguity, withBudgetCause } = require('../retry/terms');
const { RetryDecision } = require('../retry/decision');

/** See `Pool.query`. */
function queryOnClient(pool, text, values, callback) {
  const answer = callbackOrPromise(pool.Promise, inContext(callback));
  const terms = text == null ? undefined : termsOf(pool.options, text);
  let retries = 0;
  // What the first run that may have taken effect failed with.
  let ambiguous;
  const fail = (failure, lost) => {
    if (terms === undefined) {
      answer.callback(failure);
      return;
    }
    const decided = (decision) => {
      if (decision.ambiguous) ambiguous ??= failure;
      if (!decision.again) {
        answer.callback(withAmbiguity(withBudgetCause(failure, decision), ambiguous));
        return;
      }
      retries += 1;
      begin();
    };
    new RetryDecision()
      .of(pool._native, failedRun(terms, retries, failure, lost))
      .then(decided, () => answer.callback(failure));
  };
  const run = (error, client) => {
    if (error) {
      answer.callback(withAmbiguity(error, ambiguous));
      return;
    }
    // A lease of the pool itself is no leak, however long its statement takes.
    if (client._handle) leakDetection.checkedIn(pool, client._handle);
    let over = false;
    const settle = (failure, result) => {
      if (over) return;
      over = true;
      client.removeListener('error', settle);
      const lost = !isUsable(client);
      try {
        // KEEP: a failed statement leaves its connection usable, unless it was in a transaction that is left open.
        client.release(failure, keepsTransactions(pool) && isOpen(client._txStatus) ? undefined : KEEP);
      } catch (error) {
        throwAsync(error);
      }
      if (failure) fail(failure, lost);
      else answer.callback(undefined, result);
    };
    client.once('error', settle);
    try {
      pool.log('dispatching query');
      client.query(text, values, (failure, result) => {
        pool.log('query dispatched');
        settle(failure, result);
      });
    } catch (failure) {
      settle(failure);
    }
  };
  const begin = () => {
    if (text && text.signal) pool.connect({ signal: text.signal }, run);
    else pool.connect(run);
  };
  begin();
  return answer.promise;
}

module.exports = { queryOnClient };
