'use strict';

// Queue of a client's requests: statements, and submittables that want the connection for themselves. A request
// waits until the connection is there, then goes to the core at once; the core keeps the order and answers each
// exactly once. What a lost connection takes along fails after the client has told of the loss, as under pg.

const { deprecate } = require('node:util');
const { runIn } = require('../async/callback-context');
const { fromNative } = require('../errors');
const { bridge } = require('../native/bridge');
const { pack } = require('../encode/request');
const { REASONS } = require('../native/layout');
const { transactionStatus } = require('../native/transaction-status');
const { isFatal, isLoss, sever } = require('./connection-loss');
const { shownQuery } = require('./shown-query');
const { moveTo, refusalOf } = require('./session-state');
const { nextTick } = require('../async/timers');

const warnOfQueueing = deprecate(
  () => {},
  'Calling client.query() when the client is already executing a query is deprecated and will be removed in pg@9.0. ' +
    'Use async/await or an external async flow control mechanism instead.',
);

class RequestQueue {
  constructor(client) {
    this.client = client;
    // Requests from before the connection was there.
    this.waiting = [];
    // Requests that the core has, in order.
    this.sent = [];
    // Requests whose connection is lost.
    this.lost = [];
  }

  get isEmpty() {
    return this.sent.length === 0 && this.waiting.length === 0;
  }

  /** Submittables that have the connection for themselves, or wait for it. */
  get submittables() {
    return [...this.sent, ...this.waiting].filter((request) => request.isRaw && !request.isReturned);
  }

  /** The query that the server is working on, as pg shows it; null: none. */
  get active() {
    return this.sent.length === 0 ? null : shownQuery(this.sent[0]);
  }

  /** The queries behind the active one, as pg shows them. */
  get queued() {
    return [...this.sent.slice(1), ...this.waiting].map(shownQuery);
  }

  /** The request of `query`, which its caller knows as pg shows it. */
  find(query) {
    return [...this.sent, ...this.waiting].find((request) => request === query || request.query === query);
  }

  isActive(request) {
    return this.sent[0] === request;
  }

  /** Takes a request on its way; `invalid` is the error of one that cannot be sent at all. */
  add(request, invalid) {
    const { client } = this;
    const refusal = refusalOf(client) || invalid;
    if (refusal) {
      nextTick(() => {
        request.fail(refusal);
        if (invalid) this.emitDrainIfIdle();
      });
      return;
    }
    if (!client.pipeline && (this.waiting.length > 0 || this.sent.length > 1)) warnOfQueueing();
    const { name } = client._sessionState;
    if (name === 'new' || name === 'connecting' || name === 'connected') this.waiting.push(request);
    else this.send(request);
  }

  send(request) {
    const { client } = this;
    request.keepsAlive = client._referenced;
    const core = bridge();
    try {
      if (request.isRaw) {
        core.register(request);
        this.sent.push(request);
        request.send();
        return;
      }
      const { buffer, length } = pack(request);
      core.register(request);
      this.sent.push(request);
      client._native.send(client._handle.id, request.id, buffer, length);
    } catch (error) {
      if (request.id !== 0) core.take(request.id);
      this.remove(request);
      nextTick(() => request.fail(error));
    }
  }

  /** Sends what has waited for the connection. */
  flush() {
    for (const request of this.waiting.splice(0)) this.send(request);
  }

  /** Takes back a request whose caller no longer waits for it. */
  withdraw(request) {
    const index = this.waiting.indexOf(request);
    if (index !== -1) this.waiting.splice(index, 1);
    else if (request.id !== 0) this.client._native.cancel(request.id);
  }

  remove(request) {
    const index = this.sent.indexOf(request);
    if (index !== -1) this.sent.splice(index, 1);
  }

  /** From a request: the server has answered it; `status` is that of the transaction afterwards. */
  settled(request, status) {
    const { client } = this;
    this.remove(request);
    client._txStatus = transactionStatus(status) ?? client._txStatus;
    try {
      request.finish();
    } finally {
      if (!request.isRaw) client.connection.ready(client._txStatus);
      this.emitDrainIfIdle();
    }
  }

  /** From a request: it has failed. */
  failed(request, failure, status) {
    const { client } = this;
    this.remove(request);
    client._txStatus = transactionStatus(status) ?? client._txStatus;
    const error = fromNative(failure);
    if (isLoss(failure)) {
      if (client._ended) nextTick(() => request.fail(error));
      else this.lost.push(request);
      return;
    }
    // Inside a transaction an error is the end of it, whatever the record leaves unsaid.
    if (!status && client._txStatus === 'T') client._txStatus = 'E';
    const fatal = isFatal(failure);
    if (fatal) moveTo(client, 'fatal', { code: failure.code });
    try {
      request.fail(error);
      if (failure.kind === 'database') client.connection.relay(error);
    } finally {
      // A pipeline is stuck behind a statement that hangs.
      if (client.pipeline && failure.reason === REASONS.QUERY_TIMEOUT) sever(client);
      if (!fatal) {
        if (!request.isRaw) client.connection.ready(client._txStatus);
        this.emitDrainIfIdle();
      }
    }
  }

  /** Fails all that the lost connection has left, each in a turn of its own. */
  failAll(error) {
    for (const request of [...this.lost, ...this.waiting]) nextTick(() => request.fail(error));
    this.lost = [];
    this.waiting = [];
  }

  emitDrainIfIdle() {
    const { client } = this;
    if (!this.isEmpty || !client._queryable || client.listenerCount('drain') === 0) return;
    runIn(client._context, () => client.emit('drain'));
  }
}

module.exports = { RequestQueue };
