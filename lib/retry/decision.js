'use strict';

// RetryDecision and CoreTimer: requests that the core answers after a delay. The core does the waiting, so
// faked timers of an application stop neither, and what waits can be cancelled by its id.

const { bridge } = require('../native/bridge');

/**
 * The core's decision on a failed run, when it is time: `{ again: true, ambiguous }`, or `{ again: false, ambiguous,
 * reason, tier }`. `ambiguous`: the run may have taken effect.
 */
class RetryDecision {
  constructor() {
    this.id = 0;
    this.keepsAlive = true;
    this.resolve = undefined;
  }

  of(native, run) {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      bridge().register(this);
      try {
        native.decideRetry(this.id, JSON.stringify(run));
      } catch (error) {
        bridge().take(this.id);
        reject(error);
      }
    });
  }

  takeDone(ambiguous) {
    this.resolve({ again: true, ambiguous: ambiguous !== 0 });
  }

  takeFailure({ reason, tier, ambiguous }) {
    this.resolve({ again: false, ambiguous, reason, tier });
  }
}

/** A timer of the core: `elapsed` resolves after so many milliseconds, unless it is stopped. */
class CoreTimer {
  constructor(native, millis) {
    this.id = 0;
    this.keepsAlive = true;
    this.native = native;
    this.elapsed = new Promise((resolve) => {
      this.takeDone = resolve;
    });
    bridge().register(this);
    native.sleep(this.id, millis);
  }

  takeFailure() {}

  stop() {
    if (this.id !== 0) this.native.cancel(this.id);
  }
}

module.exports = { CoreTimer, RetryDecision };
