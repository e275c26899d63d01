'use strict';

// The async context (AsyncLocalStorage, domain) of callbacks and listeners: they run in the context of the call that
// they belong to, not in that of the connection that answers. Promises need nothing: `await` restores the context.

const { AsyncResource } = require('node:async_hooks');
const { throwAsync } = require('./uncaught');

/** A context that was captured. Tools that look for open handles (jest) ask `hasRef`: it keeps no process alive. */
class Context extends AsyncResource {
  hasRef() {
    return false;
  }
}

/** The context of the present call, for `runIn`. */
function captureContext() {
  return new Context('pg.context');
}

// The context of the loading of this package, for what belongs to no call.
const loading = captureContext();

/** Calls `call(...args)` in `context`; null: in the present one. */
function runIn(context, call, ...args) {
  return context === null ? call(...args) : context.runInAsyncScope(call, undefined, ...args);
}

function runOutside(call) {
  return runIn(loading, call);
}

/**
 * `callback`, bound to the context of the caller, where an exception of it is uncaught; anything but a function is
 * returned as it is.
 */
function inContext(callback) {
  if (typeof callback !== 'function') return callback;
  const context = captureContext();
  function bound(...args) {
    context.runInAsyncScope(callOrThrowAsync, this, callback, args);
  }
  bound.bare = callback;
  bound.context = context;
  return bound;
}

function callOrThrowAsync(callback, args) {
  try {
    callback.apply(this, args);
  } catch (error) {
    throwAsync(error);
  }
}

/** The callback without its context, for callers that restore the context themselves. */
function bare(callback) {
  return callback && callback.bare ? callback.bare : callback;
}

module.exports = { bare, captureContext, inContext, runIn, runOutside };
