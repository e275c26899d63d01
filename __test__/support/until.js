'use strict';

// Waiting for something to become true. Tests poll a condition; they never sleep for a guess.

const { setTimeout: pause } = require('node:timers/promises');
const { PATIENCE } = require('./patience');

/** Resolves with the first truthy value of `condition()`; rejects after `timeout` milliseconds. */
async function until(condition, { timeout = PATIENCE, every = 10, what = 'condition' } = {}) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`timed out after ${timeout} ms waiting for ${what}`);
    await pause(every);
  }
}

module.exports = { until };
