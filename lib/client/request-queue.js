'use strict';

// Queue of a client's requests: statements, and submittables that want the connection for themselves. A request
// waits until the connection is there, then goes to the core at once; the core keeps the order and answers each
// exactly once. What a lost connection takes along fails after the client has told of the loss, as under pg.
//
// A transaction has its BEGIN go out with the next request (`precede`). Until BEGIN is answered nothing else is sent, for it
// would run outside of the transaction where BEGIN fails; and where it does fail, all that follows is refused.

const { deprecate } = require('node:util');
const { runIn } = require('../async/callback-context');
const { fromNative } = require('../errors');
const { bridge } = require('../native/bridge');
const { pack } = require('../encode/request');
const { REASONS } = require('../native/layout');
const { transactionStatus } = require('../native/transaction-status');
const { isFatal, isLoss, sever } = require('./connection-loss');
const { Flight, mayFly } = require('./flight');
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
    // Statements that go out with the next request, in front of it; null: none.
    this.preceding = null;
    // Statements in front of a request that are under way; null: none.
    this.opening = null;
    // The error of those, with which all that follows is refused.
    this.refusal = undefined;
  }

  get isEmpty() {
    return this.sent.length === 0 && this.waiting.length === 0;
  }

  /** Submittables that have the connection for themselves, or wait for it. */
  get submittables() {
    return [...this.sent, ...this.waiting].filter((request) => request.isRaw && !request.isReturned);
  }

  /** Whether a request is waiting that is not the one which runs next. */
  get isQueueing() {
    const { opening, sent, waiting } = this;
    if (opening === null) return waiting.length > 0 || sent.length > 1;
    return sent.length - opening.length + waiting.length > 1;
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

  /** Whether the server works on it, as far as can be told: statements that go out together are one to the core. */
  isActive(request) {
    const [first] = this.sent;
    return first !== undefined && (first === request || (request.id !== 0 && request.id === first.id));
  }

  /** Takes a request on its way; `invalid` is the error of one that cannot be sent at all. */
  add(request, invalid) {
    const { client } = this;
    const refusal = refusalOf(client) || invalid || this.refusal;
    if (refusal) {
      nextTick(() => {
        request.fail(refusal);
        if (invalid) this.emitDrainIfIdle();
      });
      return;
    }
    if (!client.pipeline && this.isQueueing) warnOfQueueing();
    const { name } = client._sessionState;
    const isUnopened = name === 'new' || name === 'connecting' || name === 'connected';
    if (isUnopened || this.opening !== null) this.waiting.push(request);
    else this.send(request);
  }

  /** Has `statements` go out with the next request, in front of it. Where one of them fails, so does all that follows. */
  precede(statements) {
    this.preceding = statements;
  }

  /** Ends that. False: there was no request, and nothing has gone out. */
  endPreceding() {
    const isSent = this.preceding === null;
    this.preceding = null;
    return isSent;
  }

  /** What `call` sends is not refused. */
  unrefused(call) {
    const { refusal } = this;
    this.refusal = undefined;
    try {
      return call();
    } finally {
      this.refusal = refusal;
    }
  }

  /** Ends the refusal of what follows. */
  accept() {
    this.refusal = undefined;
  }

  /** Sends what was to go in front of this request: with it, if it may fly, else it waits for their answer. */
  open(request) {
    const { client, preceding } = this;
    const isWith = mayFly(client, request);
    const flight = new Flight(client, isWith ? [...preceding, request] : preceding, (answered, failure) => {
      this.opening = null;
      if (answered < preceding.length) this.refuse(failure);
      else this.flush();
    });
    this.preceding = null;
    this.opening = preceding;
    if (!isWith) this.waiting.push(request);
    try {
      flight.send();
    } catch (error) {
      // Nothing has gone out: that is left to the next request.
      this.preceding = preceding;
      this.opening = null;
      if (!isWith) this.waiting.splice(this.waiting.indexOf(request), 1);
      flight.takeBack();
      nextTick(() => request.fail(error));
      // A conversion of its values may have sent others.
      this.flush();
    }
  }

  /** Refuses what has waited for the statements in front, and what comes after. What is lost fails with the connection. */
  refuse(failure) {
    if (isLoss(failure)) return;
    const error = fromNative(failure);
    this.refusal = error;
    for (const request of this.waiting.splice(0)) nextTick(() => request.fail(error));
  }

  send(request) {
    const { client } = this;
    if (this.preceding !== null) {
      this.open(request);
      return;
    }
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

  /** Sends what has waited, until one of them takes along what has to be answered first. */
  flush() {
    for (const request of this.waiting.splice(0)) {
      if (this.opening === null) this.send(request);
      else this.waiting.push(request);
    }
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

  /** From a flight: the server has passed over it, since one before it has failed. */
  passedOver(request, error) {
    this.remove(request);
    try {
      request.fail(error);
    } finally {
      this.emitDrainIfIdle();
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
