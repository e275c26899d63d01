'use strict';

// The delegate of a pool: what the core tells and asks the pool, by way of the bridge (`Delegate` in
// lib/native/bridge.js). An object apart from the pool, whose members have any names a derived class likes.
//
// The bridge holds it weakly, its connections hold it; it and the pool hold each other.

const { CustomConnect } = require('./custom-connect');
const { ApplicationErrors } = require('../native/application-errors');
const { answerLookup } = require('../native/host-lookup');
const { NodeSocket } = require('../native/node-socket');
const { answerPassword } = require('../client/password');
const { bridge } = require('../native/bridge');
const { fromNative } = require('../errors');
const { runOnConnect } = require('./on-connect');
const { runIn } = require('../async/callback-context');
const { callUserCode } = require('../async/uncaught');
const leakDetection = require('../monitor/leak-detection');
const { clientOf, newClient, templateClient } = require('./clients');
const { takeWaitingContext, waitingContext } = require('./connect-context');
const removal = require('./removal');
const { noteOpenTransaction } = require('./open-transaction');
const { transactionStatus } = require('../native/transaction-status');

class PoolDelegate {
  constructor(pool) {
    this.pool = pool;
    this.number = 0;
    // Errors of application code on their way through the core.
    this.errors = new ApplicationErrors();
    // Connections that are being made through a `connect` of their clients' own, by the core's number of the attempt.
    this.customConnects = new Map();
  }

  beforeConnect(attempt) {
    const { pool } = this;
    try {
      const connect = new CustomConnect(pool, attempt, newClient(pool), takeWaitingContext(pool));
      this.customConnects.set(attempt, connect);
      connect.begin();
    } catch (error) {
      pool._native.resolveConnect(attempt, this.errors.keep(error));
    }
  }

  connectFailed(attempt, failure) {
    const connect = this.customConnects.get(attempt);
    if (connect === undefined) return;
    this.customConnects.delete(attempt);
    connect.coreFailed(failure);
  }

  opened(connection) {
    const { pool } = this;
    bridge().setKeepsAlive(connection, !pool.options.allowExitOnIdle && !pool._isPrefilledOnly);
    callUserCode(() => pool.log('new client connected'));
    const connect = this.customConnects.get(connection.info.attempt);
    if (connect !== undefined) {
      this.customConnects.delete(connection.info.attempt);
      connection.context = connect.context;
      runIn(connection.context, () => connect.coreConnected(connection));
      return;
    }
    connection.context = takeWaitingContext(pool);
    if (pool._everyConnectionHasClient) callUserCode(() => clientOf(pool, connection));
    if (connection.info.awaitsOnConnect) runIn(connection.context, runOnConnect, pool, connection);
  }

  closed(connection, info) {
    runIn(connection.context, removal.closed, this.pool, connection, info);
  }

  askPassword(attempt) {
    const { errors } = this;
    const native = this.pool._native;
    try {
      const answer = (password, failure) => native.givePassword(attempt, password, failure);
      runIn(waitingContext(this.pool), answerPassword, templateClient(this.pool), answer, errors);
    } catch (error) {
      native.givePassword(attempt, null, errors.keep(error));
    }
  }

  dial(id, place) {
    const { pool } = this;
    const fail = (error) => this.errors.keep(error);
    try {
      return new NodeSocket(pool._native, id, place, templateClient(pool), fail);
    } catch (error) {
      pool._native.dialed(id, fail(error));
      return undefined;
    }
  }

  lookup(id, host) {
    const { pool, errors } = this;
    runIn(waitingContext(pool), answerLookup, pool._native, id, host, (error) => errors.keep(error));
  }

  // Only a client that stands alone tells of its login.
  loginStep() {}

  poolEvent({ event, ...details }) {
    const { pool } = this;
    if (event === 'retry') {
      const { attempt, of, delay, code, phase } = details;
      const count = of == null ? `retry ${attempt}` : `retry ${attempt} of ${of}`;
      pool.log(
        `${count} in ${Math.round(delay)} ms after ${code ?? 'a lost connection'} while ${phase}`,
        details,
      );
    } else {
      details.nextProbe = details.nextProbe == null ? null : new Date(details.nextProbe);
      details.cause = details.cause == null ? undefined : fromNative(details.cause);
      pool.log(`circuit breaker of ${details.host} is ${details.state}`, details);
    }
    pool.emit(event, details);
  }

  overdue({ connection, heldMillis }) {
    leakDetection.overdue(this.pool, connection, heldMillis);
  }

  /** From a statement of the pool: it has left a transaction open. */
  transactionOpen(status) {
    noteOpenTransaction(this.pool, transactionStatus(status));
  }

  /** The error that the caller of a failed request gets. */
  errorOf(failure) {
    return this.errors.take(failure) || fromNative(failure);
  }

  /** From an idle client: somebody emitted an error on it, see removal.js. */
  discard(client, error) {
    removal.discard(this.pool, client, error);
  }

  /** From a released client: its connection is lost. */
  lostIdle(client, error) {
    removal.lostIdle(this.pool, client, error);
  }
}

module.exports = { PoolDelegate };
