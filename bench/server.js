// The PostgreSQL that is measured: the one that DATABASE_URL names, else an
// embedded one that lives as long as the run. Always TCP without TLS, so that
// every contender travels the same way.
'use strict';

const DEFAULT_PORT = 5432;

async function findServer() {
  const url = process.env.DATABASE_URL;
  if (url) return { config: configOf(url), stop: async () => {}, embedded: false };
  const { startPostgres } = require('../__test__/support/postgres');
  const server = await startPostgres({ tls: false });
  const { host, port, user, password, database } = server;
  return { config: { host, port, user, password, database }, stop: () => server.stop(), embedded: true };
}

function configOf(text) {
  const url = new URL(text);
  const user = decodeURIComponent(url.username);
  return {
    host: url.hostname || 'localhost',
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    user,
    password: url.password === '' ? undefined : decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)) || user,
  };
}

module.exports = { findServer };
