'use strict';

// Answers of asynchronous calls, by callback or promise as in pg. A rejection captures the stack of its error
// again where the caller awaits it, so that the stack shows the awaiting functions and not the event loop. Only
// failures pay for that: a promise that succeeds is a plain promise.

const { isNativeError } = require('node:util/types');

function pass() {}

/**
 * Rejects the promise behind `resolve` with `error`, its stack captured again.
 *
 * V8 finds the awaiting functions only from inside a reaction whose derived promise somebody awaits
 * already; the first `then` leaves it one microtask to tie the two promises together.
 */
function rejectWith(resolve, error) {
  resolve(
    Promise.resolve()
      .then(pass)
      .then(() => {
        recaptureStack(error);
        throw error;
      }),
  );
}

function recaptureStack(error) {
  if (!isNativeError(error) || !Object.isExtensible(error)) return;
  try {
    Error.captureStackTrace(error);
  } catch {
    // The stack of this error is read-only.
  }
}

/** A callback to answer by: the one that was given, or else one that settles `promise`, of the given class. */
function callbackOrPromise(PromiseClass, callback) {
  if (callback) return { callback, promise: undefined };
  let settle;
  const promise = new PromiseClass((resolve) => {
    settle = resolve;
  });
  const answer = (error, value) => (error ? rejectWith(settle, error) : settle(value));
  return { callback: answer, promise };
}

module.exports = { callbackOrPromise, rejectWith };
