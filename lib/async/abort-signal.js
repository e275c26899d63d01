'use strict';

// An AbortSignal of a request: waiting, connecting or running, the request is rejected with the signal's reason
// at once. The core cancels what the server still does for it, before anybody else gets the connection.

const { callUserCode } = require('./uncaught');

const ANSWERS = ['fail', 'finish', 'succeed'];

// What is called when a signal aborts. One listener for each signal, however many requests have it: Node 20 warns of more
// than ten.
const waiting = new WeakMap();

/** Has `call` called when `signal` aborts, unless it is taken back by `stopWaiting`. */
function waitForAbort(signal, call) {
  const known = waiting.get(signal);
  if (known !== undefined) {
    known.calls.add(call);
    return;
  }
  const calls = new Set([call]);
  const listener = () => {
    waiting.delete(signal);
    for (const each of calls) callUserCode(each);
  };
  waiting.set(signal, { calls, listener });
  signal.addEventListener('abort', listener, { once: true });
}

function stopWaiting(signal, call) {
  const known = waiting.get(signal);
  if (known === undefined || !known.calls.delete(call) || known.calls.size > 0) return;
  waiting.delete(signal);
  signal.removeEventListener('abort', known.listener);
}

/** The reason of an aborted `signal`; an AbortError for a falsy one, which a callback would take for success. */
function reasonOf(signal) {
  return signal.reason || new DOMException('This operation was aborted', 'AbortError');
}

/** The error of a request that must not begin: `signal` is no AbortSignal, or has aborted already. */
function refusalOf(signal) {
  if (typeof signal !== 'object' || typeof signal.addEventListener !== 'function') {
    return new TypeError('signal must be an AbortSignal');
  }
  return signal.aborted ? reasonOf(signal) : undefined;
}

/**
 * Ends `request` with the reason of `signal` when it aborts. Of the request's answers (`fail`, `finish`,
 * `succeed`) only the first counts; `withdraw` takes back what is under way.
 * @returns the error of a request that must not begin, see `refusalOf`
 */
function abortOn(request, signal) {
  const refusal = refusalOf(signal);
  if (refusal !== undefined) return refusal;
  const plain = Object.getPrototypeOf(request);
  const answers = ANSWERS.filter((name) => typeof plain[name] === 'function');
  const abort = () => {
    for (const name of answers) request[name] = ignore;
    request.aborted = true;
    plain.fail.call(request, reasonOf(signal));
    request.withdraw();
  };
  for (const name of answers) {
    request[name] = (...args) => {
      stopWaiting(signal, abort);
      // The plain answers are back: one may call another, as `finish` calls `fail` where a type parser threw.
      for (const each of answers) request[each] = plain[each];
      request[name](...args);
    };
  }
  waitForAbort(signal, abort);
  return undefined;
}

function ignore() {}

module.exports = { abortOn, reasonOf, refusalOf, stopWaiting, waitForAbort };
