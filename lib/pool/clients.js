'use strict';

// The client objects of a pool, one for a connection at most. A connection gets its client when somebody will see
// it; the first client is the template, which was made to read the pool's options.

const Client = require('../client');
const { plainMethods } = require('../client/patched-methods');

const { connect: plainConnect } = plainMethods(Client.prototype);

/** A client to read the pool's options from; nobody else gets it. */
function templateClient(pool) {
  return pool._template || new pool.Client(pool.options);
}

/** A client for a new connection. */
function newClient(pool) {
  const client = templateClient(pool);
  pool._template = null;
  client._pool = pool;
  return client;
}

/** The client of this connection. */
function clientOf(pool, connection) {
  if (connection.client !== null) return connection.client;
  const client = newClient(pool);
  client._attach(pool._native, connection);
  client._begin();
  return client;
}

/** From the end of a lease or of onConnect: the application may have given the client a `query` of its own. */
function noteCustomQuery(pool, client) {
  if (Object.hasOwn(client, 'query')) pool._hasCustomClients = true;
}

/** Has the core ask before each connect while the class of the clients has a `connect` of its own. */
function interceptConnectsIfCustom(pool) {
  const isCustom = pool.Client.prototype.connect !== plainConnect;
  if (isCustom === pool._interceptsConnects) return;
  pool._interceptsConnects = isCustom;
  pool._native.interceptConnects(isCustom);
}

module.exports = { clientOf, interceptConnectsIfCustom, newClient, noteCustomQuery, templateClient };
