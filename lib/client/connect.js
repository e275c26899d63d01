'use strict';

// Connect of a client that stands alone: its native pool of one, from the first call until the connection is
// closed. To the bridge it is both the delegate of that pool and the request for its connection.

const { runIn } = require('../async/callback-context');
const { reasonOf, refusalOf, stopWaiting, waitForAbort } = require('../async/abort-signal');
const { announceLogin } = require('./server-messages');
const { DatabaseError, fromNative } = require('../errors');
const { bridge } = require('../native/bridge');
const { connectionClosed, giveBack, lossErrors, terminated } = require('./connection-loss');
const { ApplicationErrors } = require('../native/application-errors');
const { answerLookup } = require('../native/host-lookup');
const { answerPassword } = require('./password');
const { clientSettings } = require('../config/core-settings');
const { moveTo } = require('./session-state');
const { NodeSocket } = require('../native/node-socket');
const { nextTick } = require('../async/timers');
const { REASONS } = require('../native/layout');

/** @typedef {ConnectRequest} ConnectRequestType */

class ConnectRequest {
  constructor(client, callback) {
    this.id = 0;
    this.number = 0;
    this.keepsAlive = client._referenced;
    this.client = client;
    this.callback = callback;
    this.errors = new ApplicationErrors();
    this.abandoned = false;
    // Why it was abandoned, where the caller said so.
    this.reason = undefined;
    this.native = null;
  }

  begin() {
    const core = bridge();
    this.native = core.openPool(this, clientSettings(this.client, this.client._options));
    core.register(this);
    this.native.connect(this.id);
  }

  /** The client was ended, or its connection cut, before it was there; `reason` is the error of its caller. */
  abandon(reason) {
    this.abandoned = true;
    this.reason ??= reason;
    if (this.id !== 0) this.native.cancel(this.id);
  }

  opened(handle) {
    bridge().setKeepsAlive(handle, this.client._referenced);
  }

  takeConnection(handle) {
    const client = this.client;
    handle.leased = true;
    client._connectRequest = null;
    client._attach(this.native, handle);
    if (this.abandoned) {
      giveBack(client, true);
      this.callback(this.errorOf());
      return;
    }
    try {
      this.callback(null, client);
      runIn(client._context, () => client.emit('connect'));
    } finally {
      client._begin();
      client.connection.ready('I');
    }
  }

  takeFailure(failure) {
    const client = this.client;
    client._connectRequest = null;
    moveTo(client, 'failed');
    bridge().forget(this);
    // A connection that is still under way closes as soon as it is there.
    if (this.abandoned && this.native !== null) this.native.end(0);
    const error = this.errorOf(failure);
    try {
      this.callback(error);
    } finally {
      if (error instanceof DatabaseError) client.connection.relay(error);
      connectionClosed(client, []);
    }
  }

  errorOf(failure) {
    if (this.abandoned) return this.reason ?? terminated();
    if (failure.kind === 'acquire' || failure.reason === REASONS.CONNECT_TIMEOUT) {
      return new Error('timeout expired');
    }
    return this.errors.take(failure) || fromNative(failure);
  }

  closed(handle, info) {
    this.native.release(handle.id, true);
    bridge().forget(this);
    // A connection that came too late was told as a connect that failed, and is no loss.
    connectionClosed(this.client, this.abandoned ? [] : lossErrors(info, this.client._sessionState.code));
  }

  dial(id, place) {
    return new NodeSocket(this.native, id, place, this.client, (error) => this.errors.keep(error));
  }

  lookup(id, host) {
    const keep = (error) => this.errors.keep(error);
    runIn(this.client._context, answerLookup, this.native, id, host, keep);
  }

  loginStep(step) {
    runIn(this.client._context, announceLogin, this.client, step);
  }

  // Nothing to do for a client that stands alone: its connect is not intercepted, it has no pool whose events were
  // heard, and it may keep its connection.
  beforeConnect() {}
  connectFailed() {}
  poolEvent() {}
  overdue() {}

  askPassword(attempt) {
    const answer = (password, failure) => this.native.givePassword(attempt, password, failure);
    runIn(this.client._context, answerPassword, this.client, answer, this.errors);
  }
}

function connectToServer(client, callback, signal) {
  const refusal = signal === undefined || signal === null ? undefined : refusalOf(signal);
  if (refusal !== undefined) {
    nextTick(() => callback(refusal));
    return;
  }
  moveTo(client, 'connecting');
  const request = new ConnectRequest(client, callback);
  if (signal !== undefined && signal !== null) {
    const abort = () => request.abandon(reasonOf(signal));
    waitForAbort(signal, abort);
    request.callback = (...args) => {
      stopWaiting(signal, abort);
      callback(...args);
    };
  }
  client._connectRequest = request;
  try {
    request.begin();
  } catch (error) {
    if (request.id !== 0) bridge().take(request.id);
    const { number, message } = request.errors.keep(error);
    nextTick(() => request.takeFailure({ kind: 'plain', message, application: number }));
  }
}

module.exports = { connectToServer };
