'use strict';

// The end of a pool on its way: from `pool.end()` until the core has closed everything.

const { fromNative } = require('../errors');
const { bridge } = require('../native/bridge');

class Ending {
  constructor(pool, callback) {
    this.id = 0;
    this.counted = true;
    this.pool = pool;
    this.callback = callback;
  }

  takeDone() {
    // The last connection is given back just before the answer to its last statement is told.
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

module.exports = { Ending };
