'use strict';

// Tells listeners one by one: one that throws, or whose promise rejects, is counted; the others hear it all
// the same, and the pool goes on.

function fault() {
  require('../native').Vitals.fault();
}

/** Calls `listener`; a fault of it is counted and ends here. */
function callSafely(listener, self, ...values) {
  try {
    const result = listener.apply(self, values);
    if (result && typeof result.then === 'function') result.then(undefined, fault);
  } catch {
    fault();
  }
}

/** `emitter.emit(event, ...values)`, safely. */
function emitSafely(emitter, event, ...values) {
  for (const listener of emitter.rawListeners(event)) callSafely(listener, emitter, ...values);
}

module.exports = { callSafely, emitSafely };
