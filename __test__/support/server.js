'use strict';

// What tests ask of the server that this run uses: where it is, a configuration to connect with,
// and a database of their own where they create tables.

const { randomBytes, randomInt } = require('node:crypto');
const { Client, escapeIdentifier } = require('pg');
const { until } = require('./until');

/** The server's description: `host`, `port`, `user`, `password`, `database`, `url`, `embedded`;
 * of an embedded one also `tls`, `ca`, `caFile`, `users`, `socketDir`, `dataDir`, `pid`. */
function server() {
  if (!process.env.PGPOOL_TEST_SERVER)
    throw new Error('no test server: run through jest, whose global setup starts one');
  return JSON.parse(process.env.PGPOOL_TEST_SERVER);
}

/** Options for a Pool or a Client; `overrides` win. */
function config(overrides = {}) {
  const { host, port, user, password, database, ssl } = server();
  return { host, port, user, password, database, ...(ssl === undefined ? {} : { ssl }), ...overrides };
}

/** Runs statements as the server's own user, on a connection of its own, through `pg`. */
async function admin(sql, values) {
  const client = new Client(config());
  await client.connect();
  try {
    return await client.query(sql, values);
  } finally {
    await client.end();
  }
}

/** Resolves when the server's process of that id is in the middle of a `pg_sleep`. */
async function asleep(pid) {
  const text = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
  await until(async () => (await admin(text, [pid])).rowCount === 1, { what: `process ${pid} to sleep` });
}

/** A statement that is not answered before `free()`. */
async function blocked() {
  const client = new Client(config());
  await client.connect();
  const key = randomInt(2 ** 31);
  await client.query('SELECT pg_advisory_lock($1)', [key]);
  return { text: `SELECT pg_advisory_xact_lock_shared(${key})`, free: () => client.end() };
}

/** Creates or drops a database: the server waits five seconds at most for sessions that leave it. */
async function onDatabase(sql) {
  const isDone = () =>
    admin(sql).then(
      () => true,
      (error) => {
        if (error.code !== '55006') throw error;
        return false;
      },
    );
  await until(isDone, { what: sql });
}

/**
 * A new, empty database. Call `drop()` when done; it closes whoever is still connected.
 * @returns {Promise<{ database: string, url: string, config: (overrides?: object) => object, drop: () => Promise<void> }>}
 */
async function freshDatabase() {
  const database = `pgpool_test_${randomBytes(6).toString('hex')}`;
  await onDatabase(`CREATE DATABASE ${escapeIdentifier(database)}`);
  const url = new URL(server().url);
  url.pathname = `/${database}`;
  return {
    database,
    url: url.href,
    config: (overrides) => config({ database, ...overrides }),
    drop: () => onDatabase(`DROP DATABASE IF EXISTS ${escapeIdentifier(database)} WITH (FORCE)`),
  };
}

/**
 * The environment of a program that shall find a database by itself: that of this process, but for what
 * it says of databases. `own` goes before everything.
 */
function environment({ host, port, user, password, database, ssl }, own) {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(DB_|PG|DATABASE_URL$)/.test(name)) delete env[name];
  Object.assign(env, {
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
  });
  if (ssl) env.PGSSLMODE = 'no-verify';
  return { ...env, ...own };
}

module.exports = { server, config, admin, asleep, blocked, freshDatabase, environment };
