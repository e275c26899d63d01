'use strict';

// Exceptions of application code that we call: each surfaces as an uncaught exception, as under pg, and stops
// nothing that is under way.

const { nextTick } = require('./timers');

/** Throws `error` where nobody can catch it. */
function throwAsync(error) {
  nextTick(() => {
    throw error;
  });
}

/** Calls application code; an exception of it surfaces as uncaught. */
function callUserCode(call) {
  try {
    call();
  } catch (error) {
    throwAsync(error);
  }
}

module.exports = { callUserCode, throwAsync };
