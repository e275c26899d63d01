'use strict';

// One checkout: the request behind `pool.connect()`, until it has a lease or has failed.

const { runIn } = require('../async/callback-context');
const { acquire } = require('./lease');
const { REASONS } = require('../native/layout');

function nothing() {}

const POOLS_TERMS = {};

class Checkout {
  /**
   * @param answer of callbackOrPromise
   * @param lease what leak detection keeps of the lease, if it is on: lib/monitor/leak-detection.js
   */
  constructor(pool, { callback, promise }, lease) {
    this.id = 0;
    this.keepsAlive = true;
    this.pool = pool;
    this.callback = callback;
    this.isPromised = promise !== undefined;
    this.lease = lease;
    this.aborted = false;
    // The context of its call, where the pool may have to connect for it, or its lease has listeners.
    this.context = null;
    // Deadline, attempts and base delay, where they differ from the pool's.
    this.terms = POOLS_TERMS;
  }

  takeConnection(connection, status) {
    // The signal came first: nobody would release the client.
    if (this.aborted) this.pool._native.release(connection.id, false);
    else runIn(this.context ?? this.pool._context, acquire, this.pool, this, connection, status);
  }

  takeFailure(failure) {
    const { pool } = this;
    const error = pool._delegate.errorOf(failure);
    if (failure.kind !== 'acquire') {
      if (failure.reason === REASONS.CONNECT_TIMEOUT) pool.log('ending client due to timeout');
      pool.log('client failed to connect', error);
    }
    this.fail(error);
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
