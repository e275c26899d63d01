'use strict';

// The async context of callbacks (AsyncLocalStorage, domains): a callback runs in the context of the call that it
// was passed to, not in that of the connection that answers. Promises need nothing: `await` restores the context.

const { AsyncResource } = require('node:async_hooks');

/** `callback`, bound to the context of the caller; anything but a function is returned as it is. */
function inContext(callback) {
  if (typeof callback !== 'function') return callback;
  const resource = new AsyncResource('pg.callback');
  function bound(...args) {
    return resource.runInAsyncScope(callback, this, ...args);
  }
  bound.bare = callback;
  return bound;
}

/** The callback without its context, for callers that restore the context themselves. */
function bare(callback) {
  return callback && callback.bare ? callback.bare : callback;
}

module.exports = { bare, inContext };
