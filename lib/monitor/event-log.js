'use strict';

// `onLog`: notable events for listeners of the application: connects, closes with their reason, retries, changes
// of a breaker, failovers, leaks, alerts. The core itself writes the same events to standard error (PGPOOL_LOG).
// No event has parameters, passwords or texts of statements.

const { callSafely } = require('./safe-emit');

const LEVELS = ['debug', 'info', 'warn', 'error'];

const listeners = new Set();

/**
 * Calls `listener` with every event from now on; a listener that throws is counted and harms nobody.
 * @param level the lowest level of the events: debug, info (default), warn, error
 * @returns a function that removes the listener
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

/** From the core: an event. */
function deliver(event) {
  const weight = LEVELS.indexOf(event.level);
  for (const { listener, least } of listeners) {
    if (weight >= least) callSafely(listener, undefined, event);
  }
}

module.exports = { deliver, onLog };
