'use strict';

// Something runs out, at the server or in the application's process, while there are connections that work.

const fs = require('node:fs');
const { spawnSync } = require('node:child_process');
const { Client } = require('pg');
const { until } = require('../../../__test__/support/until');
const { directly, throughProxy } = require('../stage');

const PORT_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const SIX_PORTS = '40000 40005';

const LEFT = 3;
const reading = (seconds) => `SELECT $1::text AS key, pg_sleep(${seconds})`;

/** Others take all connections of the server but three. */
async function fillServer(stage) {
  const { hosts, user, password, database } = stage.place;
  stage.others = [];
  for (;;) {
    const client = new Client({ ...hosts[0], user, password, database });
    client.on('error', () => {});
    try {
      await client.connect();
    } catch (error) {
      if (error.code !== '53300') throw error;
      break;
    }
    stage.others.push(client);
  }
  await leave(stage, stage.others.splice(0, LEFT));
}

async function leave(stage, clients) {
  const pids = clients.map(({ processID }) => processID);
  await Promise.all(clients.map((client) => client.end()));
  const text = 'SELECT FROM pg_stat_activity WHERE pid = ANY($1)';
  await until(async () => (await stage.query(text, [pids])).rowCount === 0, { what: 'the sessions to end' });
}

const DISK_FULL = `
  CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$;
  CREATE TRIGGER disk_full BEFORE INSERT ON bad_day EXECUTE FUNCTION disk_full()`;
const DISK_FREE = 'DROP TRIGGER disk_full ON bad_day; DROP FUNCTION disk_full';

const setPassword = (stage, password) => stage.query(`ALTER ROLE ${stage.place.user} PASSWORD '${password}'`);

// Few requests beside the burst, whose outcome is what counts.
const BURST = { down: 3, after: 3, rate: 5, warm: 5 };

const SHORTAGE = [
  {
    name: 'server-full',
    title: 'The server has 3 connections left, for 8 s',
    story:
      "Other processes hold the server's connections up to 3 below `max_connections` (53300), from before the start; statements take 80 ms.",
    terms: { down: 8 },
    quick: { down: 4 },
    texts: { read: reading(0.08) },
    open: directly({ max_connections: 20 }),
    prepare: fillServer,
    strike() {},
    heal: (stage) => leave(stage, stage.others),
  },
  {
    name: 'disk-full',
    title: "The server's disk is full, for 8 s",
    story:
      'Every insert is rejected with 53100 (raised by a trigger) for 8 s; reads work. Two of three requests are inserts.',
    terms: { down: 8, writes: 2 / 3 },
    quick: { down: 4 },
    open: directly(),
    strike: (stage) => stage.query(DISK_FULL),
    heal: (stage) => stage.query(DISK_FREE),
  },
  {
    name: 'password-rotated',
    title: 'The password was changed, the connections of before still work',
    story:
      'The password is changed while the application still has the old one; 60 requests of 100 ms come at once to a pool with some connections.',
    terms: BURST,
    texts: { read: reading(0.1) },
    open: directly(),
    async strike(stage, run) {
      await setPassword(stage, 'another');
      await run.burst(60);
    },
    heal: (stage) => setPassword(stage, stage.place.password),
  },
  {
    name: 'descriptors',
    title: 'The process has few file descriptors left',
    story:
      'The process may open 48 files, sockets included (EMFILE); 60 requests of 100 ms come at once to a pool with some connections.',
    terms: BURST,
    texts: { read: reading(0.1) },
    wrap: ['prlimit', '--nofile=48', '--'],
    skip: () => spawnSync('prlimit', ['--version']).status !== 0 && 'there is no prlimit',
    open: directly(),
    strike: (_, run) => run.burst(60),
    heal() {},
  },
  {
    name: 'ports',
    title: 'The machine has 6 local ports left',
    story:
      'No more than 6 connections can be opened from here to the server (EADDRNOTAVAIL); 60 requests of 100 ms come at once.',
    terms: BURST,
    texts: { read: reading(0.1) },
    needsIsolation: true,
    open: throughProxy(),
    prepare: () => fs.writeFileSync(PORT_RANGE, SIX_PORTS),
    strike: (_, run) => run.burst(60),
    heal() {},
  },
];

module.exports = { SHORTAGE };
