'use strict';

// One server for a whole jest run. Tests learn of it through PGPOOL_TEST_SERVER (see server.js).
// DATABASE_URL or PG* in the environment name a server of the developer's own, which is then used
// and left as it was.

const { givenServer } = require('./given-server');

module.exports = async function globalSetup() {
  const given = givenServer(process.env);
  if (given) {
    process.env.PGPOOL_TEST_SERVER = JSON.stringify(given);
    return;
  }
  const { startPostgres } = require('./postgres');
  const server = await startPostgres();
  globalThis.pgpoolTestServer = server;
  process.env.PGPOOL_TEST_SERVER = JSON.stringify(server);
};
