'use strict';

// One connect through the clients' own `connect`: patched by a tracer or a test, or overridden in a derived class. It
// is called as pg's pool calls it, in the async context of a waiting request. The core connects when the call arrives
// at our own `connect`; what the custom `connect` calls back with decides.

const { runIn } = require('../async/callback-context');
const { moveTo } = require('../client/session-state');
const { reject, runOnConnect } = require('./on-connect');
const { connectionClosed, unexpected } = require('../client/connection-loss');
const { nextTick } = require('../async/timers');

class CustomConnect {
  /**
   * @param attempt the core's number for it
   * @param context of the request that needs the connection
   */
  constructor(pool, attempt, client, context) {
    this.pool = pool;
    this.attempt = attempt;
    this.client = client;
    this.context = context;
    // Callback of the core's connect, while that is under way.
    this.callback = null;
    this.connection = null;
    // The core's error, if it could not connect.
    this.failure = undefined;
    this.isCoreDone = false;
    // Whether the custom `connect` has called back, and with which error.
    this.isUserDone = false;
    this.userError = undefined;
  }

  begin() {
    const { client } = this;
    client._customConnect = this;
    try {
      runIn(this.context, () => client.connect((error) => this.userDone(error)));
    } catch (error) {
      this.userDone(error);
    }
  }

  /** From the client: the call has arrived at our own `connect`. */
  connectByCore(callback) {
    if (this.isCoreDone) {
      nextTick(() => callback(this.failure || unexpected()));
      return;
    }
    this.callback = callback;
    moveTo(this.client, 'connecting');
    this.pool._native.resolveConnect(this.attempt, null);
  }

  /** From the delegate: the core has connected. */
  coreConnected(connection) {
    const { client, isUserDone } = this;
    this.isCoreDone = true;
    this.connection = connection;
    client._customConnect = null;
    client._attach(this.pool._native, connection);
    try {
      this.callBack(null, client);
      client.emit('connect');
    } finally {
      client._begin();
      if (isUserDone) this.finish();
    }
  }

  /** From the delegate: the core could not connect; null: it has given up. */
  coreFailed(failure) {
    const { client, isUserDone } = this;
    this.isCoreDone = true;
    this.failure = failure === null ? unexpected() : this.pool._delegate.errorOf(failure);
    moveTo(client, 'failed');
    try {
      this.callBack(this.failure);
    } finally {
      connectionClosed(client, []);
      if (isUserDone) this.finish();
    }
  }

  callBack(...outcome) {
    const { callback } = this;
    this.callback = null;
    if (callback !== null) callback(...outcome);
  }

  userDone(error) {
    if (this.isUserDone) return;
    this.isUserDone = true;
    this.userError = error || undefined;
    if (this.isCoreDone) this.finish();
    // The call never arrived at our `connect`: without an error the core connects all the same.
    else if (this.callback === null)
      this.pool._native.resolveConnect(this.attempt, this.kept(this.userError));
  }

  // Both the core and the custom `connect` are done.
  finish() {
    const { pool, userError, connection } = this;
    if (connection === null) {
      if (userError !== this.failure) pool._native.resolveConnect(this.attempt, this.kept(userError));
      else this.confirm();
    } else if (userError === undefined) runOnConnect(pool, connection);
    else reject(pool, connection, this.client, userError);
  }

  // The core goes by its own error, of which it knows more; the caller gets the object that was passed on.
  confirm() {
    const { number } = this.pool._delegate.errors.keep(this.failure);
    this.pool._native.resolveConnect(this.attempt, { number });
  }

  // What the core gets in place of an error.
  kept(error) {
    return error === undefined ? null : this.pool._delegate.errors.keep(error);
  }
}

module.exports = { CustomConnect };
