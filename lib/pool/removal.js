'use strict';

// A connection of a pool is gone, or has to go: who hears of it, and in which order.

const { connectionClosed, finish, isSilent, isUnexpected, lossErrors } = require('../client/connection-loss');
const { moveTo } = require('../client/session-state');
const { callUserCode } = require('../async/uncaught');
const { clientOf } = require('./clients');
const { logPulse } = require('./pg-pool-log');

/** The connection is gone. */
function closed(pool, connection, info) {
  if (connection.client !== null && pool._releasedEarly.delete(connection.client)) connection.leased = false;
  const leased = connection.leased;
  const unexpected = isUnexpected(info);
  const watched = pool.listenerCount('remove') > 0 || (unexpected && pool.listenerCount('error') > 0);
  const client = connection.client === null && watched ? clientOf(pool, connection) : connection.client;
  if (client === null) return;
  if (leased) {
    connectionClosed(client, lossErrors(info, client._sessionState.code));
    return;
  }
  const died = unexpected && info.idle && !client._ending;
  const errors = died ? lossErrors(info, client._sessionState.code) : [];
  if (info.reason === 'idle') pool.log('remove idle client');
  if (info.reason === 'lifetime') {
    pool.log('ending client due to expired lifetime');
    pool.log('remove expired client');
  }
  moveTo(client, 'ending');
  // An error that came over the connection is told before its end, a silent end is an error afterwards.
  if (died && !isSilent(errors)) lostIdle(pool, client, errors[0]);
  finish(client, []);
  if (died && isSilent(errors)) lostIdle(pool, client, errors[0]);
  else if (!died) emitRemove(pool, client);
  if (info.reason !== 'drained' && !died) logPulse(pool);
}

/**
 * An error was emitted on a client that is not lent: it is the client's last. If a query of the pool runs
 * there, it is the query that fails with it.
 */
function discard(pool, client, error) {
  moveTo(client, 'ending');
  client.connection._gone();
  if (pool._native.closeConnection(client._link.id)) tellIdleDeath(pool, client, error);
  else pool._errors.keep(error, 'Connection terminated');
}

/** The loss of an idle client, as pg's pool hears it on its listener: the client is removed, and the error told. */
function lostIdle(pool, client, error) {
  moveTo(client, 'ending');
  emitRemove(pool, client);
  tellIdleDeath(pool, client, error);
}

/** The event `remove` comes when the client has ended. */
function emitRemove(pool, client) {
  const emit = () => callUserCode(() => pool.emit('remove', client));
  if (client._ended) emit();
  else client._onEnd.push(emit);
}

/** An idle connection that dies is told to those who listen, and ends no process that does not. */
function tellIdleDeath(pool, client, error) {
  error.client = client;
  for (const emitter of [client, pool]) {
    if (emitter.listenerCount('error') === 0) continue;
    callUserCode(() => emitter.emit('error', error, client));
  }
}

module.exports = { closed, discard, emitRemove, lostIdle };
