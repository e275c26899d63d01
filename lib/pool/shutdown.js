'use strict';

// The shutdown of a pool: the request behind `pool.end()`, answered when the core has closed every connection.

const { fromNative } = require('../errors');
const { bridge } = require('../native/bridge');
const { setImmediate } = require('../async/timers');

class Shutdown {
  constructor(pool, callback) {
    this.id = 0;
    this.keepsAlive = true;
    this.pool = pool;
    this.callback = callback;
  }

  takeDone() {
    // Answers to the last statements may come after the return of their connections.
    if (bridge().hasRequestsOf(this.pool)) {
      setImmediate(() => this.takeDone());
      return;
    }
    bridge().forget(this.pool._delegate);
    this.pool.ended = true;
    this.callback();
  }

  takeFailure(failure) {
    bridge().forget(this.pool._delegate);
    this.callback(fromNative(failure));
  }
}

module.exports = { Shutdown };
