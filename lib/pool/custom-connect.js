'use strict';

// The making of one connection of a pool whose clients have a `connect` of their own: patched by a tracer
// or a test, or overridden in a derived class. It is called as pg's pool calls it, in the context of a
// request that waits; the core connects when the call arrives at our own `connect`, and the pool goes by
// what it calls back with in the end.

const { AsyncResource } = require('node:async_hooks');
const { greet, rebuff } = require('./on-connect');
const { unexpected } = require('../client/connection-loss');

class Escort {
  /** @param attempt the core's number for it */
  constructor(pool, attempt, client) {
    this.pool = pool;
    this.attempt = attempt;
    this.client = client;
    // Of our own `connect`, while it is under way.
    this.callback = null;
    this.link = null;
    // Why the core did not connect.
    this.failure = undefined;
    this.isOver = false;
    // What their `connect` has called back with.
    this.isJudged = false;
    this.refusal = undefined;
  }

  begin() {
    const { client } = this;
    client._escort = this;
    try {
      client.connect((error) => this.judge(error));
    } catch (error) {
      this.judge(error);
    }
  }

  /** Our own `connect` has been reached. */
  dial(callback) {
    if (this.isOver) {
      process.nextTick(() => callback(this.failure || unexpected()));
      return;
    }
    this.callback = callback;
    this.client._connecting = true;
    this.pool._native.resolveConnect(this.attempt, null);
  }

  /** From the pool: the core has connected. */
  arrive(link) {
    const { client, isJudged } = this;
    this.isOver = true;
    this.link = link;
    client._escort = null;
    client._attach(this.pool._native, link);
    try {
      this.answer(null, client);
      client.emit('connect');
    } finally {
      client._begin();
      if (isJudged) this.conclude();
    }
  }

  /** From the pool: the core could not connect, or has given up. */
  turnAway(failure) {
    const { client, isJudged } = this;
    this.isOver = true;
    this.failure = failure === null ? unexpected() : this.pool._errorOf(failure);
    client._connecting = false;
    client._connectionError = true;
    client._queryable = false;
    try {
      this.answer(this.failure);
    } finally {
      if (isJudged) this.conclude();
    }
  }

  answer(...outcome) {
    const { callback } = this;
    this.callback = null;
    if (callback !== null) callback(...outcome);
  }

  judge(error) {
    if (this.isJudged) return;
    this.isJudged = true;
    this.refusal = error || undefined;
    if (this.isOver) this.conclude();
    // It never came to us: what does not fail is connected all the same.
    else if (this.callback === null) this.pool._native.resolveConnect(this.attempt, this.text(this.refusal));
  }

  // Both sides have spoken.
  conclude() {
    const { pool, refusal, link } = this;
    if (link === null) {
      if (refusal !== this.failure) pool._native.resolveConnect(this.attempt, this.text(refusal));
      else this.confirm();
    } else if (refusal === undefined) greet(pool, link);
    else rebuff(pool, link, this.client, refusal);
  }

  // The core goes by its own error, of which it knows more; who waits gets this one.
  confirm() {
    const { pool, failure } = this;
    if (failure.message) pool._errors.keep(failure);
    pool._native.resolveConnect(this.attempt, null);
  }

  text(error) {
    return error === undefined ? null : this.pool._errors.keep(error);
  }
}

/** The requests of a pool that may have a connection made for them, each with the context of its caller. */
class Callers {
  constructor() {
    this.waiting = [];
  }

  add(request) {
    this.waiting = this.waiting.filter((caller) => caller.request.id !== 0);
    this.waiting.push({ request, context: new AsyncResource('pg.connect') });
  }

  /** Runs `work` in the context of the one that has waited longest. */
  run(work) {
    while (this.waiting.length > 0) {
      const { request, context } = this.waiting.shift();
      if (request.id !== 0) return context.runInAsyncScope(work);
    }
    return work();
  }
}

module.exports = { Callers, Escort };
