'use strict';

// The end of a pool on its way: from `pool.end()` until the core has closed everything.

const { fromNative } = require('./errors');
const { hub } = require('./hub');

class Ending {
  constructor(pool, callback) {
    this.id = 0;
    this.counted = true;
    this.pool = pool;
    this.callback = callback;
  }

  takeDone() {
    hub().forget(this.pool);
    this.pool.ended = true;
    this.callback();
  }

  takeFailure(failure) {
    hub().forget(this.pool);
    this.callback(fromNative(failure));
  }
}

module.exports = { Ending };
