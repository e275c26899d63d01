'use strict';

// A new connection of a pool is shown to the application before anybody gets it: `onConnect`, then the
// event `connect`. Whatever fails there refuses the connection.

const { moveTo } = require('../client/session-state');
const { callUserCode } = require('../async/uncaught');

/** Gives the connection to the pool once the application has seen it. */
function runOnConnect(pool, link) {
  let client;
  try {
    client = pool._clientOf(link);
  } catch (error) {
    reject(pool, link, undefined, error);
    return;
  }
  const { onConnect } = pool.options;
  if (!onConnect) {
    accept(pool, link, client);
    return;
  }
  new pool.Promise((resolve) => resolve(onConnect(client))).then(
    () => accept(pool, link, client),
    (error) => reject(pool, link, client, error),
  );
}

/** Nobody gets the new connection; who waits for it fails with this error. */
function reject(pool, link, client, error) {
  pool._errors.keep(error, `connection ${link.id} was refused by its greeting`);
  if (client !== undefined) moveTo(client, 'ending');
  if (link.open) pool._native.onConnectDone(link.id, false);
}

function accept(pool, link, client) {
  callUserCode(() => pool.emit('connect', client));
  pool._noteCustomQuery(client);
  pool._sawFirstClient = true;
  if (link.open) pool._native.onConnectDone(link.id, true);
}

module.exports = { reject, runOnConnect };
