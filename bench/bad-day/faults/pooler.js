'use strict';

// A PgBouncer stands between the application and the server.

const { findPgBouncers, startPgBouncer } = require('../../../__test__/support/pgbouncer');
const { directly } = require('../stage');

// It waits a second after a failed login at the server; by default 15 s, in which no client can do anything.
const SETTINGS = { default_pool_size: 20, server_login_retry: 1 };

async function throughPgBouncer(stage) {
  await directly()(stage);
  // The newest one.
  stage.program = findPgBouncers().at(-1);
  stage.pooler = await startPgBouncer(stage.program, stage.server, SETTINGS);
  stage.later(() => stage.pooler.stop());
  stage.placeAt(stage.pooler);
}

const POOLER = [
  {
    name: 'pgbouncer-restart',
    title: 'PgBouncer is restarted, down for 3 s',
    story:
      'The PgBouncer between the application and the server is restarted; for 3 s nobody listens in its place.',
    terms: { down: 3 },
    skip: () => findPgBouncers().length === 0 && 'there is no PgBouncer',
    open: throughPgBouncer,
    strike: ({ pooler }) => pooler.stop(),
    async heal(stage) {
      const settings = { ...SETTINGS, listen_port: stage.pooler.port };
      stage.pooler = await startPgBouncer(stage.program, stage.server, settings);
    },
  },
  {
    name: 'behind-pgbouncer',
    title: 'The server behind a PgBouncer is restarted, down for 3 s',
    story: 'PgBouncer stays and takes connections, and loses the server behind it for 3 s (08P01).',
    terms: { down: 3 },
    skip: () => findPgBouncers().length === 0 && 'there is no PgBouncer',
    open: throughPgBouncer,
    async strike({ server }) {
      server.kill('SIGINT');
      await server.exited();
    },
    heal: ({ server }) => server.start(),
  },
];

module.exports = { POOLER };
