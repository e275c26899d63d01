'use strict';

// One checkout on its way: `pool.connect()` until a client is there or the wait has failed.

const { lend } = require('./lease');

function nothing() {}

const POOLS_TERMS = {};

class Checkout {
  /** @param lease undefined where leaks are not looked for, see lib/monitor/leak-detection.js */
  constructor(pool, callback, lease) {
    this.id = 0;
    this.counted = true;
    this.pool = pool;
    this.callback = callback;
    this.lease = lease;
    this.aborted = false;
    // Deadline, attempts and base of the delays where they are not the pool's.
    this.terms = POOLS_TERMS;
  }

  takeConnection(link) {
    // The signal came first, so nobody is there who could give it back.
    if (this.aborted) this.pool._native.release(link.id, false);
    else lend(this.pool, this, link);
  }

  takeFailure(failure) {
    this.pool._failed(this, failure);
  }

  succeed(client, release) {
    this.callback(undefined, client, release);
  }

  withdraw() {
    if (this.id !== 0) this.pool._native.cancel(this.id);
  }

  fail(error) {
    this.callback(error, undefined, nothing);
  }
}

module.exports = { Checkout };
