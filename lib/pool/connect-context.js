'use strict';

// The async context of a new connection of a pool: that of the request that has waited for one longest, as under pg,
// where a request makes its own. `connect`, `onConnect` and the events of the client run in it.

const { captureContext } = require('../async/callback-context');
const { bridge } = require('../native/bridge');

/** Keeps the context of a request that the pool may have to connect for, or whose lease has listeners. */
function keepContext(request) {
  request.context = captureContext();
}

/** The context of the request that has waited longest, without a connection of its own so far. */
function waitingContext(pool) {
  let oldest;
  for (const { context } of bridge().requestsOf(pool)) {
    if (context === null || context === undefined || context.isTaken) continue;
    if (oldest === undefined || context.asyncId() < oldest.asyncId()) oldest = context;
  }
  return oldest ?? pool._context;
}

/** The same for a new connection: each request gives its context to one. */
function takeWaitingContext(pool) {
  const context = waitingContext(pool);
  if (context !== pool._context) context.isTaken = true;
  return context;
}

module.exports = { keepContext, takeWaitingContext, waitingContext };
