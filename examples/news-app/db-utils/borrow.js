// Lends a client for work that needs one. A client whose connection is lost while it is lent emits `error`, and
// without a listener that ends the process; whoever works on it gets the same error from its statement.

'use strict';

function heard() {}

function listen(client) {
  if (!client.listeners('error').includes(heard)) client.on('error', heard);
  return client;
}

async function borrow(pool) {
  return listen(await pool.connect());
}

module.exports = { borrow, listen };
