'use strict';

// The five contenders: what an application does with plain pg, with a loop of its own around pg, and with the
// three ways into this package. Each opens on a place and gives `read`, `insert`, `transaction`, which
// inserts two keys, and `connect`, which lends a client.
// None is ended: the process ends with it.
//
// A place is { hosts: [{ host, port }], user, password, database, options, queryOptions }: `options` are for
// pools that are made by hand, `queryOptions` for each statement.

const pg = require('pg');
const { isConnectionError, wasNotSent, withRetry } = require('./retry-loop');

// Those of the tier highPriority, so that all contenders have the same pool.
const POOL = { max: 30, min: 10, idleTimeoutMillis: 30_000, connectionTimeoutMillis: 2_000 };

/** pg knows one host only: an application has a pool for each and goes to the next when one fails. */
class PgPools {
  #pools;
  #current = 0;

  constructor({ hosts, user, password, database, options }) {
    this.#pools = hosts.map(({ host, port }) => {
      const pool = new pg.Pool({ ...POOL, host, port, user, password, database, ...options });
      // Without a listener the loss of an idle connection ends the process.
      pool.on('error', () => {});
      return pool;
    });
  }

  async query(config) {
    const chosen = this.#current;
    try {
      return await this.#pools[chosen].query(config);
    } catch (error) {
      const isLost = isConnectionError(error) || error.code === '25006';
      if (isLost && this.#current === chosen) this.#current = (chosen + 1) % this.#pools.length;
      throw error;
    }
  }

  connect() {
    return this.#pools[this.#current].connect();
  }
}

const ignore = () => {};

/** As an application writes it with pg. */
async function transactionByHand(pool, text, keys) {
  const client = await pool.connect();
  // Without a listener the loss of a client that is lent ends the process.
  client.on('error', ignore);
  try {
    await client.query('BEGIN');
    for (const key of keys) await client.query(text, [key]);
    await client.query('COMMIT');
    client.off('error', ignore);
    client.release();
  } catch (error) {
    client.release(error);
    throw error;
  }
}

function openPg(place) {
  const pools = new PgPools(place);
  const ask = (text, values) => pools.query({ text, values, ...place.queryOptions });
  return {
    read: ask,
    insert: ask,
    transaction: (text, keys) => transactionByHand(pools, text, keys),
    connect: () => pools.connect(),
  };
}

function openPgWithLoop(place) {
  const { read, transaction, connect } = openPg(place);
  return {
    read: (text, values) => withRetry(() => read(text, values), isConnectionError),
    insert: (text, values) =>
      withRetry(
        () => read(text, values),
        (error) => wasNotSent(error) || error.code === '25006',
      ),
    transaction: (text, keys) => withRetry(() => transaction(text, keys), wasNotSent),
    connect: () => withRetry(connect, wasNotSent),
  };
}

function openExecuteQueryWithRetry({ queryOptions }) {
  const { executeQueryWithRetry, executeTransactionWithRetry, getPool } = require('../..');
  const ask = (text, values, options) =>
    executeQueryWithRetry(text, values, undefined, undefined, { ...queryOptions, ...options });
  return {
    read: (text, values) => ask(text, values, { readOnly: true }),
    insert: ask,
    transaction: (text, keys) =>
      executeTransactionWithRetry(keys.map((key) => ({ query: text, values: [key] }))),
    connect: () => getPool('highPriority').connect(),
  };
}

function openTier({ queryOptions }) {
  const { getPool } = require('../..');
  const pool = getPool('highPriority');
  pool.on('error', () => {});
  const ask = (text, values, options) => pool.query({ text, values, ...queryOptions, ...options });
  return {
    read: (text, values) => ask(text, values, { readOnly: true }),
    insert: ask,
    transaction: (text, keys) =>
      pool.transaction(async (client) => {
        for (const key of keys) await client.query(text, [key]);
      }),
    connect: () => pool.connect(),
  };
}

function openPool({ hosts, user, password, database, options, queryOptions }) {
  const { Pool } = require('../..');
  const several = hosts.length > 1 && { targetSessionAttrs: 'read-write' };
  const pool = new Pool({
    ...POOL,
    host: hosts.map(({ host }) => host).join(','),
    port: hosts.length > 1 ? hosts.map(({ port }) => port).join(',') : hosts[0].port,
    user,
    password,
    database,
    ...several,
    ...options,
  });
  pool.on('error', () => {});
  const ask = (text, values, options) => pool.query({ text, values, ...queryOptions, ...options });
  return {
    read: (text, values) => ask(text, values, { readOnly: true }),
    insert: ask,
    transaction: (text, keys) => transactionByHand(pool, text, keys),
    connect: () => pool.connect(),
  };
}

const CONTENDERS = {
  pg: openPg,
  'pg + loop': openPgWithLoop,
  executeQueryWithRetry: openExecuteQueryWithRetry,
  'getPool()': openTier,
  Pool: openPool,
};

/** The variables that the tiers read. */
function tierEnvironment({ hosts, user, password, database }) {
  return {
    DB_HOST: hosts.map(({ host }) => host).join(','),
    DB_PORT: hosts.map(({ port }) => port).join(','),
    DB_USER: user,
    DB_PASSWORD: password,
    DB_NAME: database,
    ...(hosts.length > 1 && { DB_TARGET_SESSION_ATTRS: 'read-write' }),
  };
}

module.exports = { CONTENDERS, NAMES: Object.keys(CONTENDERS), tierEnvironment };
