'use strict';

// The async context of a new connection of a pool: that of the request that has waited for one longest, as under pg,
// where a request makes its own. `connect`, `onConnect` and the events of the client run in it.

const { captureContext } = require('../async/callback-context');
const { bridge } = require('../native/bridge');

/** Keeps the context of a request that the pool may have to connect for, or whose lease has listeners. */
function keepContext(request) {
  request.context = captureContext();
}

/** The context of the next connection; each request gives its context to one connection. */
function contextOfNextConnection(pool) {
  let oldest;
  for (const request of bridge().requestsOf(pool)) {
    const { context } = request;
    if (context === null || context === undefined || context.isTaken) continue;
    if (oldest === undefined || context.asyncId() < oldest.asyncId()) oldest = context;
  }
  if (oldest === undefined) return pool._context;
  oldest.isTaken = true;
  return oldest;
}

module.exports = { contextOfNextConnection, keepContext };
