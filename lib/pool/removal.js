'use strict';

// A connection of a pool is gone, or has to go: who hears of it, and in which order.

const { isUnexpected, lossErrors } = require('../client/connection-loss');
const { callUserCode } = require('../async/uncaught');

/** The connection is gone. */
function closed(pool, link, info) {
  if (link.client !== null && pool._releasedEarly.delete(link.client)) link.lent = false;
  const lent = link.lent;
  const unexpected = isUnexpected(info);
  const watched = pool.listenerCount('remove') > 0 || (unexpected && pool.listenerCount('error') > 0);
  const client = link.client === null && watched ? pool._clientOf(link) : link.client;
  if (client === null) return;
  if (lent) {
    client._closed(lossErrors(info, client._fatal));
    return;
  }
  const died = unexpected && info.idle && !client._ending;
  if (info.reason === 'idle') pool.log('remove idle client');
  if (info.reason === 'lifetime') {
    pool.log('ending client due to expired lifetime');
    pool.log('remove expired client');
  }
  client._ending = true;
  if (died) tellIdleDeath(pool, client, lossErrors(info, null)[0]);
  callUserCode(() => pool.emit('remove', client));
  if (info.reason !== 'drained' && !died) pool._pulse();
  client._closed([]);
}

/**
 * An error was emitted on a client that is not lent: it is the client's last. If a query of the pool runs
 * there, it is the query that fails with it.
 */
function discard(pool, client, error) {
  client._ending = true;
  client.connection._gone();
  if (pool._native.closeConnection(client._link.id)) tellIdleDeath(pool, client, error);
  else pool._errors.keep(error, 'Connection terminated');
}

/** An idle connection that dies is told to those who listen, and ends no process that does not. */
function tellIdleDeath(pool, client, error) {
  error.client = client;
  for (const emitter of [client, pool]) {
    if (emitter.listenerCount('error') === 0) continue;
    callUserCode(() => emitter.emit('error', error, client));
  }
}

module.exports = { closed, discard, tellIdleDeath };
