'use strict';

// Timers and clock of Node, taken when this package is loaded: fake ones that a test puts in their places later
// (jest, vitest, sinon) stop no pool.

const { performance } = require('node:perf_hooks');
const { clearInterval, clearTimeout, setImmediate, setInterval, setTimeout } = require('node:timers');

const { nextTick } = process;
const { timeOrigin } = performance;

/** Milliseconds on a clock that never goes back. */
const monotonicNow = performance.now.bind(performance);

/** The same clock in milliseconds since 1970. */
function epochNow() {
  return timeOrigin + monotonicNow();
}

module.exports = {
  clearInterval,
  clearTimeout,
  epochNow,
  monotonicNow,
  nextTick,
  setImmediate,
  setInterval,
  setTimeout,
};
