'use strict';

// The async context of callbacks: a callback runs in the context (AsyncLocalStorage, domain) of the call
// that it was given to, not in that of the connection which happens to answer. Promises need nothing:
// `await` restores the context by itself.

const { AsyncResource } = require('node:async_hooks');

/** `callback`, tied to the context of the caller; what is no function stays as it is. */
function inContext(callback) {
  if (typeof callback !== 'function') return callback;
  const resource = new AsyncResource('pg.callback');
  function bound(...args) {
    return resource.runInAsyncScope(callback, this, ...args);
  }
  bound.bare = callback;
  return bound;
}

/** The callback as it was given, for whoever sees to its context. */
function bare(callback) {
  return callback && callback.bare ? callback.bare : callback;
}

module.exports = { bare, inContext };
