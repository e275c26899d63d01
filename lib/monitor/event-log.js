'use strict';

// Notable events as the application may hear them: connects, closes with their reason, retries, changes of
// a breaker, failovers, leaks, alerts. The core writes the same to standard error where PGPOOL_LOG asks
// for it. Neither parameters nor passwords nor texts of statements are in an event.

const { callSafely } = require('./safe-emit');

const LEVELS = ['debug', 'info', 'warn', 'error'];

const listeners = new Set();

/**
 * Calls `listener` with every event from now on; one that throws is counted and harms nobody.
 * @param level the least level that is heard: debug, info (default), warn, error
 * @returns a function that ends it
 */
function onLog(listener, { level = 'info' } = {}) {
  if (typeof listener !== 'function') throw new TypeError('the listener must be a function');
  const least = LEVELS.indexOf(level);
  if (least < 0) throw new TypeError(`the level must be one of ${LEVELS.join(', ')}`);
  const entry = { listener, least };
  if (listeners.size === 0) switchTo(true);
  listeners.add(entry);
  return () => {
    if (listeners.delete(entry) && listeners.size === 0) switchTo(false);
  };
}

function switchTo(on) {
  const { bridge } = require('../native/bridge');
  bridge().onLog = deliver;
  bridge().native.listen(on);
}

/** From the bridge: an event. */
function deliver(event) {
  const weight = LEVELS.indexOf(event.level);
  for (const { listener, least } of listeners) {
    if (weight >= least) callSafely(listener, undefined, event);
  }
}

module.exports = { deliver, onLog };
