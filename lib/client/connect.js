'use strict';

// The connect of a client that stands alone: its native pool of one, from the first call until the
// connection is closed. To the bridge it is the owner of that pool and the request for its connection.

const { reasonOf, refusalOf } = require('../async/abort-signal');
const { announceLogin } = require('./server-messages');
const { DatabaseError, fromNative } = require('../errors');
const { bridge } = require('../native/bridge');
const { lossErrors, unexpected } = require('./connection-loss');
const { ApplicationErrors } = require('../native/application-errors');
const { answerPassword } = require('./password');
const { clientSettings } = require('../config/core-settings');
const { NodeSocket } = require('../native/node-socket');

class Dialing {
  constructor(client, callback) {
    this.id = 0;
    this.number = 0;
    this.counted = client._referenced;
    this.client = client;
    this.callback = callback;
    this.errors = new ApplicationErrors();
    this.abandoned = false;
    // Why, if a signal has ended it.
    this.signal = undefined;
    this.native = null;
  }

  begin() {
    const core = bridge();
    this.native = core.openPool(this, clientSettings(this.client, this.client._options));
    core.register(this);
    this.native.connect(this.id);
  }

  /** The client was ended, or its connection cut, before it was there. */
  abandon() {
    this.abandoned = true;
    if (this.id !== 0) this.native.cancel(this.id);
  }

  opened(link) {
    bridge().setKeepsAlive(link, this.client._referenced);
  }

  takeConnection(link) {
    const client = this.client;
    link.lent = true;
    client._dialing = null;
    client._attach(this.native, link);
    if (this.abandoned) {
      client._return(true);
      this.callback(this.errorOf());
      return;
    }
    try {
      this.callback(null, client);
      client.emit('connect');
    } finally {
      client._begin();
      client.connection.ready('I');
    }
  }

  takeFailure(failure) {
    const client = this.client;
    client._dialing = null;
    client._connectionError = true;
    bridge().forget(this);
    // A connection that is still under way closes as soon as it is there.
    if (this.abandoned && this.native !== null) this.native.end(0);
    const error = this.errorOf(failure);
    try {
      this.callback(error);
    } finally {
      if (error instanceof DatabaseError) client.connection.relay(error);
      const waiting = client._waiting;
      client._waiting = [];
      for (const statement of waiting) process.nextTick(() => statement.fail(unexpected()));
      client._closed([]);
      client._queryable = false;
    }
  }

  errorOf(failure) {
    if (this.signal !== undefined && this.signal.aborted) return reasonOf(this.signal);
    if (this.abandoned) return new Error('Connection terminated');
    if (failure.kind === 'acquire' || failure.message === 'Connection terminated due to connection timeout') {
      return new Error('timeout expired');
    }
    return this.errors.take(failure) || fromNative(failure);
  }

  closed(link, info) {
    this.native.release(link.id, true);
    bridge().forget(this);
    // One that came too late is told as a connect that failed, and no loss.
    this.client._closed(this.abandoned ? [] : lossErrors(info, this.client._fatal));
  }

  dial(id, place) {
    return new NodeSocket(this.native, id, place, this.client, (error) => this.errors.keep(error));
  }

  heard(step) {
    announceLogin(this.client, step);
  }

  ask(attempt) {
    answerPassword(
      this.client,
      (password, failure) => this.native.givePassword(attempt, password, failure),
      this.errors,
    );
  }
}

function connectToServer(client, callback, signal) {
  const refusal = signal === undefined || signal === null ? undefined : refusalOf(signal);
  if (refusal !== undefined) {
    process.nextTick(() => callback(refusal));
    return;
  }
  client._connecting = true;
  const dialing = new Dialing(client, callback);
  if (signal !== undefined && signal !== null) {
    const abort = () => dialing.abandon();
    signal.addEventListener('abort', abort, { once: true });
    dialing.signal = signal;
    dialing.callback = (...args) => {
      signal.removeEventListener('abort', abort);
      callback(...args);
    };
  }
  client._dialing = dialing;
  try {
    dialing.begin();
  } catch (error) {
    if (dialing.id !== 0) bridge().take(dialing.id);
    process.nextTick(() => dialing.takeFailure({ kind: 'plain', message: dialing.errors.keep(error) }));
  }
}

module.exports = { connectToServer };
