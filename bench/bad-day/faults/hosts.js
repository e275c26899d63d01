'use strict';

// A primary and its standby, replicated synchronously, so that what was acknowledged is on both. Contenders know both
// hosts; the proxy of a cluster manager is not between them.

const { startPostgres } = require('../../../__test__/support/postgres');
const { until } = require('../../../__test__/support/until');
const { sleep } = require('../clock');
const { CREATE } = require('../ledger');
const { signalAll, standStill } = require('../processes');

// What a cluster manager takes to notice and decide.
const DECISION_MILLIS = 1_000;

async function pairUp(stage) {
  stage.server = await stage.startServer();
  await stage.query(CREATE);
  stage.first = stage.server;
  stage.second = await stage.startServer({ standbyOf: stage.first });
  await replicateSynchronously(stage.first);
  stage.placeAt(stage.first, stage.second);
}

async function replicateSynchronously(primary) {
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await primary.query('SELECT pg_reload_conf()');
  const text = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'";
  await until(async () => (await primary.query(text)).rowCount === 1, { what: 'the standby to be in step' });
}

async function kill(server) {
  server.kill('SIGKILL');
  await server.exited();
}

async function promote(stage, server) {
  await server.query('SELECT pg_promote()');
  stage.server = server;
}

const pair = {
  open: pairUp,
  isFinal: true,
  terms: { down: DECISION_MILLIS / 1000, after: 8 },
  quick: { after: 5 },
  heal: (stage) => promote(stage, stage.second),
};

const frozen = {
  ...pair,
  skip: () => process.platform !== 'linux' && 'the processes of a server are found on Linux only',
  strike: (stage) => standStill(stage, stage.first),
  // What the old primary took in before it stood still is not to come to light.
  async afterwards({ first }) {
    signalAll(first, 'SIGKILL');
    await first.exited();
  },
};

const HOSTS = [
  {
    ...pair,
    name: 'failover',
    title: 'The primary is killed, the standby promoted after 1 s',
    story: 'A failover: the primary of two hosts dies, and a second later the standby is made primary.',
    strike: ({ first }) => kill(first),
  },
  {
    ...frozen,
    name: 'frozen-primary',
    title: 'The primary stands still, the standby is promoted after 1 s; at most 10 connections',
    story:
      'The primary of two hosts hangs under all connections of the pool (SIGSTOP; its kernel still accepts), and a second later the standby is made primary.',
    options: { max: 10 },
    env: { DB_HIGH_PRIORITY_MAX: '10' },
  },
  {
    ...frozen,
    name: 'frozen-primary-timeout',
    title: 'The primary stands still, `query_timeout: 1000`',
    story:
      'The same with room for other connections, for an application that waits a second for each answer.',
    queryOptions: { query_timeout: 1_000 },
  },
  {
    ...pair,
    name: 'fail-back',
    title: 'Failover and back',
    story:
      'The primary dies and the standby is promoted; the first host comes back as its standby; then the second dies and the first is promoted again.',
    async strike(stage) {
      await kill(stage.first);
      await sleep(DECISION_MILLIS);
      await promote(stage, stage.second);
      const { port } = stage.first;
      await stage.first.stop('immediate');
      stage.first = await startPostgres({ tls: false, standbyOf: stage.second, port });
      stage.later(() => stage.first.stop('immediate'));
      await replicateSynchronously(stage.second);
      await sleep(DECISION_MILLIS);
      await kill(stage.second);
    },
    heal: (stage) => promote(stage, stage.first),
  },
];

module.exports = { HOSTS };
