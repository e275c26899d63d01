'use strict';

// An AbortSignal of a request: waiting, connecting or running, the request is rejected with the signal's reason
// at once. The core cancels what the server still does for it, before anybody else gets the connection.

const ANSWERS = ['fail', 'finish', 'succeed'];

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
 * `succeed`) only the first call counts from now on; `withdraw` takes back what is under way.
 * @returns the error of a request that must not begin, see `refusalOf`
 */
function abortOn(request, signal) {
  const refusal = refusalOf(signal);
  if (refusal !== undefined) return refusal;
  const plain = Object.getPrototypeOf(request);
  const answers = ANSWERS.filter((name) => typeof plain[name] === 'function');
  const close = () => {
    signal.removeEventListener('abort', abort);
    for (const name of answers) request[name] = ignore;
  };
  const abort = () => {
    close();
    request.aborted = true;
    plain.fail.call(request, reasonOf(signal));
    request.withdraw();
  };
  for (const name of answers) {
    request[name] = (...args) => {
      close();
      plain[name].apply(request, args);
    };
  }
  signal.addEventListener('abort', abort, { once: true });
  return undefined;
}

function ignore() {}

module.exports = { abortOn, reasonOf, refusalOf };
