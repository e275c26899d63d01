'use strict';

// Rejections that lead back to the application: like pg, the stack of an error is taken again where
// the caller awaits it, so that it shows the awaiting functions and not the event loop. The price is
// paid by failures only: a promise that succeeds is a plain promise.

const { isNativeError } = require('node:util/types');

function pass() {}

/**
 * Rejects the promise behind `resolve` with `error`, its stack taken anew.
 *
 * V8 finds the awaiting functions only from inside a reaction whose derived promise somebody awaits
 * already; the first `then` gives it the turn in which the two promises are tied together.
 */
function rejectWith(resolve, error) {
  resolve(
    Promise.resolve()
      .then(pass)
      .then(() => {
        takeStackAnew(error);
        throw error;
      }),
  );
}

function takeStackAnew(error) {
  if (!isNativeError(error) || !Object.isExtensible(error)) return;
  try {
    Error.captureStackTrace(error);
  } catch {
    // Its owner has fixed the stack.
  }
}

/** The two ways of answering, as pg has them: a callback, or else a promise of the given class. */
function answering(PromiseClass, callback) {
  if (callback) return { callback, promise: undefined };
  let settle;
  const promise = new PromiseClass((resolve) => {
    settle = resolve;
  });
  const answer = (error, value) => (error ? rejectWith(settle, error) : settle(value));
  return { callback: answer, promise };
}

/** An exception of user code: it surfaces as uncaught, and stops nothing that is under way. */
function rethrow(error) {
  process.nextTick(() => {
    throw error;
  });
}

/** Calls the application's own code: what it throws surfaces as uncaught. */
function guarded(call) {
  try {
    call();
  } catch (error) {
    rethrow(error);
  }
}

module.exports = { rejectWith, answering, guarded, rethrow };
