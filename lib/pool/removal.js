'use strict';

// The removal of a connection from its pool: which client and listeners hear of it, and in which order.

const { connectionClosed, finish, isSilent, isUnexpected, lossErrors } = require('../client/connection-loss');
const { CLOSE_REASONS } = require('../native/layout');
const { moveTo } = require('../client/session-state');
const { callUserCode } = require('../async/uncaught');
const { clientOf } = require('./clients');
const { returnToCore } = require('./return-to-core');
const { logPulse } = require('./pg-pool-log');

/** From the delegate: the connection is closed. */
function closed(pool, connection, info) {
  const release = connection.client === null ? null : connection.client._earlyRelease;
  if (release !== null) release.end(true);
  const { leased } = connection;
  const unexpected = isUnexpected(info);
  const watched = pool.listenerCount('remove') > 0 || (unexpected && pool.listenerCount('error') > 0);
  const client = connection.client === null && watched ? clientOf(pool, connection) : connection.client;
  if (client === null) return;
  if (leased) {
    connectionClosed(client, lossErrors(info, client._sessionState.code));
    whenEnded(client, () => keepUntilRelease(pool, connection));
    return;
  }
  const died = unexpected && (info.idle || release !== null) && !client._ending;
  const errors = died ? lossErrors(info, client._sessionState.code) : [];
  if (info.reason === CLOSE_REASONS.IDLE) pool.log('remove idle client');
  if (info.reason === CLOSE_REASONS.LIFETIME) {
    pool.log('ending client due to expired lifetime');
    pool.log('remove expired client');
  }
  moveTo(client, 'ending');
  // An error that came over the connection is told before its end, a silent end is an error afterwards.
  if (died && !isSilent(errors)) lostIdle(pool, client, errors[0]);
  if (errors.length > 1) client.connection.relay(errors[0]);
  finish(client, []);
  if (died && isSilent(errors)) lostIdle(pool, client, errors[0]);
  else if (!died) emitRemove(pool, client);
  if (info.reason !== CLOSE_REASONS.DRAINED && !died) logPulse(pool);
}

/**
 * From an idle client: somebody emitted an error on it, which ends it. If a query of the pool runs on its
 * connection, the query fails with that error.
 */
function discard(pool, client, error) {
  moveTo(client, 'ending');
  client.connection._gone();
  const isIdle = pool._native.closeConnection(client._handle.id, pool._delegate.errors.keep(error));
  if (isIdle) tellIdleDeath(pool, client, error);
}

/** The loss of an idle client, as pg's pool hears it on its listener: the client is removed, and the error told. */
function lostIdle(pool, client, error) {
  moveTo(client, 'ending');
  emitRemove(pool, client);
  tellIdleDeath(pool, client, error);
}

/** The event `remove` comes when the client has ended. */
function emitRemove(pool, client) {
  whenEnded(client, () => callUserCode(() => pool.emit('remove', client)));
}

function whenEnded(client, call) {
  if (client._ended) call();
  else client._onEnd.push(call);
}

// The place of a lost connection is taken until its client is released, as under pg, or the pool ends.
function keepUntilRelease(pool, connection) {
  if (pool.ending) returnToCore(pool, connection, true);
  else if (connection.leased) pool._lostLeases.add(connection);
}

/** Tells listeners of the loss of an idle client; without any it ends no process. */
function tellIdleDeath(pool, client, error) {
  error.client = client;
  for (const emitter of [client, pool]) {
    if (emitter.listenerCount('error') === 0) continue;
    callUserCode(() => emitter.emit('error', error, client));
  }
}

module.exports = { closed, discard, emitRemove, lostIdle };
