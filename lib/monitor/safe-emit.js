'use strict';

// Calls listeners one by one. A listener that throws, or whose promise rejects, is counted; the others are called
// all the same, and the pool goes on.

function countFault() {
  require('../native').Telemetry.listenerFault();
}

/** Calls `listener`; an error of it is counted and ends here. */
function callSafely(listener, self, ...values) {
  try {
    const result = listener.apply(self, values);
    if (result && typeof result.then === 'function') result.then(undefined, countFault);
  } catch {
    countFault();
  }
}

/** `emitter.emit(event, ...values)`, each listener by itself. */
function emitSafely(emitter, event, ...values) {
  for (const listener of emitter.rawListeners(event)) callSafely(listener, emitter, ...values);
}

module.exports = { callSafely, emitSafely };
