'use strict';

// An AbortSignal beside a request: waiting, connecting or running, the request is rejected with the
// signal's reason at once; what the server still does for it is cancelled and settled by the core
// before the connection is lent again.

const ANSWERS = ['fail', 'finish', 'succeed'];

/**
 * Ends `request` with the reason of `signal` when it aborts. Of the request's answers (`fail`, `finish`,
 * `succeed`) only the first call counts from now on; `withdraw` takes back what is under way.
 * @returns what the request is to fail with instead of being begun: no signal, or aborted already
 */
function heed(request, signal) {
  if (typeof signal !== 'object' || typeof signal.addEventListener !== 'function') {
    return new TypeError('signal must be an AbortSignal');
  }
  if (signal.aborted) return signal.reason ?? new DOMException('This operation was aborted', 'AbortError');
  const plain = Object.getPrototypeOf(request);
  const answers = ANSWERS.filter((name) => typeof plain[name] === 'function');
  const close = () => {
    signal.removeEventListener('abort', abort);
    for (const name of answers) request[name] = ignore;
  };
  const abort = () => {
    close();
    request.aborted = true;
    plain.fail.call(request, signal.reason);
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

module.exports = { heed };
