'use strict';

// What the application does with a new connection before anybody gets it: the option `onConnect`, then the event
// `connect`. An error of `onConnect` rejects the connection.

const { moveTo } = require('../client/session-state');
const { callUserCode } = require('../async/uncaught');
const { clientOf, noteCustomQuery } = require('./clients');

/** Runs `onConnect` and the event; the core may lease the connection afterwards. */
function runOnConnect(pool, connection) {
  let client;
  try {
    client = clientOf(pool, connection);
  } catch (error) {
    reject(pool, connection, undefined, error);
    return;
  }
  const { onConnect } = pool.options;
  if (!onConnect) {
    accept(pool, connection, client);
    return;
  }
  new pool.Promise((resolve) => resolve(onConnect(client))).then(
    () => accept(pool, connection, client),
    (error) => reject(pool, connection, client, error),
  );
}

/** Has the core close the connection and fail the request that waits for it, with this error. */
function reject(pool, connection, client, error) {
  if (client !== undefined) moveTo(client, 'ending');
  if (connection.open) pool._native.onConnectDone(connection.id, pool._delegate.errors.keep(error));
}

function accept(pool, connection, client) {
  callUserCode(() => pool.emit('connect', client));
  noteCustomQuery(pool, client);
  pool._sawFirstClient = true;
  if (connection.open) pool._native.onConnectDone(connection.id, null);
}

module.exports = { reject, runOnConnect };
