'use strict';

// A new connection of a pool is shown to the application before anybody gets it: `onConnect`, then the
// event `connect`. Whatever fails there refuses the connection.

const { moveTo } = require('../client/session-state');
const { callUserCode } = require('../async/uncaught');
const { clientOf, noteCustomQuery } = require('./clients');

/** Gives the connection to the pool once the application has seen it. */
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

/** Nobody gets the new connection; who waits for it fails with this error. */
function reject(pool, connection, client, error) {
  pool._errors.keep(error, `connection ${connection.id} was refused by its greeting`);
  if (client !== undefined) moveTo(client, 'ending');
  if (connection.open) pool._native.onConnectDone(connection.id, false);
}

function accept(pool, connection, client) {
  callUserCode(() => pool.emit('connect', client));
  noteCustomQuery(pool, client);
  pool._sawFirstClient = true;
  if (connection.open) pool._native.onConnectDone(connection.id, true);
}

module.exports = { reject, runOnConnect };
