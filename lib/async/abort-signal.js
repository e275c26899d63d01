'use strict';

// An AbortSignal beside a request: waiting, connecting or running, the request is rejected with the
// signal's reason at once; what the server still does for it is cancelled and settled by the core
// before the connection is lent again.

const ANSWERS = ['fail', 'finish', 'succeed'];

/** Why `signal` has aborted. What a callback could not tell from success is no reason. */
function reasonOf(signal) {
  return signal.reason || new DOMException('This operation was aborted', 'AbortError');
}

/** What a request with this signal is to fail with instead of being begun: no signal, or aborted already. */
function refusalOf(signal) {
  if (typeof signal !== 'object' || typeof signal.addEventListener !== 'function') {
    return new TypeError('signal must be an AbortSignal');
  }
  return signal.aborted ? reasonOf(signal) : undefined;
}

/**
 * Ends `request` with the reason of `signal` when it aborts. Of the request's answers (`fail`, `finish`,
 * `succeed`) only the first call counts from now on; `withdraw` takes back what is under way.
 * @returns what the request is to fail with instead of being begun, see `refusalOf`
 */
function heed(request, signal) {
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

module.exports = { heed, reasonOf, refusalOf };
