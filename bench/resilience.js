// What a bad day costs: a flood of reports, a restart under load, a server that is down. Each
// experiment prints the figures that docs/performance.md quotes.
//
//   node bench/resilience.js [flood] [restart] [breaker]
'use strict';

const os = require('node:os');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { startPostgres } = require('../__test__/support/postgres');
const { quantile, summary } = require('./statistics');

// Reports of the first kind keep every processor of the server busy, those of the second take a part of them, and those
// of the third wait.
const REPORTS = {
  saturating: 'select count(*) from generate_series(1, 200000)',
  computing: 'select pg_sleep(0.05), count(*) from generate_series(1, 20000)',
  waiting: 'select pg_sleep(0.055)',
};
const LOOKUP = 'select $1::int as id';
const READS_PER_SECOND = 200;
const FLOOD = 500;
const ROUNDS = 5;

/** Calls `work` at a steady rate, whatever it takes, and returns the milliseconds of each call. */
async function atRate(perSecond, seconds, work) {
  const latencies = [];
  const calls = [];
  const begin = performance.now();
  for (let index = 0; index < perSecond * seconds; index++) {
    const due = begin + (index * 1000) / perSecond;
    if (due > performance.now()) await sleep(due - performance.now());
    const started = performance.now();
    calls.push(work(index).then(() => latencies.push(performance.now() - started)));
  }
  await Promise.all(calls);
  return latencies;
}

async function p99(read) {
  return quantile(await atRate(READS_PER_SECOND, 4, read), 0.99);
}

/** One calm stretch of reading and one in a flood of 500 reports; p99 of both in milliseconds. */
async function calmAndFlooded({ read, report }, text) {
  const calm = await p99(read);
  const waits = [];
  const started = performance.now();
  const reports = Array.from({ length: FLOOD }, () =>
    report(text).then(() => waits.push(performance.now() - started)),
  );
  const flooded = await p99(read);
  await Promise.all(reports);
  return { calm, flooded, ratio: flooded / calm, last: Math.max(...waits) };
}

/**
 * 500 reports at once beside steady readers: tiers without and with adaptive limits, and one shared pool of pg of the
 * same size, in turns. The limits keep what they have learnt from round to round, as in an application.
 */
async function flood(server) {
  const { createTiers } = require('..');
  const pg = require('pg');
  const { host, port, user, password, database } = server;
  const place = { host, port, user, password, database };
  const sets = ['off', 'on'].map((adaptive) =>
    createTiers({
      tiers: { readers: { max: 8, min: 2 }, reports: { max: 10, min: 2 } },
      shared: { ...place, adaptive },
    }),
  );
  const [free, adaptive] = sets.map(({ getPool }) => ({
    read: (id) => getPool('readers').query(LOOKUP, [id]),
    report: (text) => getPool('reports').query(text),
  }));
  const one = new pg.Pool({ ...place, max: 18 });
  // Its connections may outlast its end, and the server then ends them.
  one.on('error', () => {});
  const shared = { read: (id) => one.query(LOOKUP, [id]), report: (text) => one.query(text) };
  for (const [kind, text] of Object.entries(REPORTS)) {
    for (const { read } of [free, adaptive, shared]) await p99(read);
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push({
        free: await calmAndFlooded(free, text),
        adaptive: await calmAndFlooded(adaptive, text),
        shared: await calmAndFlooded(shared, text),
      });
    }
    const middle = (of) => {
      const { median, min, max } = summary(rounds.map(of));
      return `${median.toFixed(3)} (${min.toFixed(3)} to ${max.toFixed(3)})`;
    };
    console.log(`reports ${kind}, load ${os.loadavg()[0].toFixed(1)}:`);
    for (const name of ['free', 'adaptive', 'shared']) {
      const of = (field) => middle((round) => round[name][field]);
      console.log(
        `  ${name}: reader p99 calm ${of('calm')} ms, flooded ${of('flooded')} ms, ratio ${of('ratio')}; last report after ${of('last')} ms`,
      );
    }
    console.log(
      `  to the shared pool in the flood: tiers ${middle((round) => round.free.flooded / round.shared.flooded)}, with adaptive limits ${middle((round) => round.adaptive.flooded / round.shared.flooded)}`,
    );
    console.log(
      `  reports per second with adaptive limits to without ${middle((round) => round.free.last / round.adaptive.last)}`,
    );
  }
  await Promise.all([one, ...sets].map((each) => each.end()));
}

/** A restart under 200 idempotent reads a second. */
async function restart(server) {
  const { Pool } = require('..');
  const { host, port, user, password, database } = server;
  const pool = new Pool({ host, port, user, password, database, max: 10, retryAttempts: 20, retryDelay: 50 });
  let failed = 0;
  const read = (id) =>
    pool.query({ text: LOOKUP, values: [id], idempotent: true, deadline: 10_000 }).catch((error) => {
      if (failed++ === 0) console.log(`first failure: ${error.message}`);
    });
  await atRate(READS_PER_SECOND, 1, read);
  const load = atRate(READS_PER_SECOND, 5, read);
  await sleep(1000);
  await server.restart('immediate');
  const latencies = await load;
  console.log(
    `restart under ${READS_PER_SECOND} reads/s: ${failed} of ${latencies.length} failed, slowest ${Math.max(...latencies).toFixed(0)} ms`,
  );
  await pool.end();
}

/** Answers of an open breaker while the server is down. */
async function breaker(server) {
  const { Pool } = require('..');
  const { host, port, user, password, database } = server;
  const pool = new Pool({ host, port, user, password, database, max: 10, breaker: 'enforce' });
  await pool.query(LOOKUP, [1]);
  // Its data stays, for it is started again.
  server.kill('SIGQUIT');
  await server.exited();
  let opened = false;
  for (let index = 0; index < 1000 && !opened; index++) {
    await pool.query(LOOKUP, [1]).catch((error) => (opened = error.name === 'CircuitOpenError'));
  }
  const times = [];
  for (let index = 0; index < 1000; index++) {
    const started = performance.now();
    await pool.query(LOOKUP, [1]).catch(() => {});
    times.push(performance.now() - started);
  }
  console.log(
    `breaker ${opened ? 'open' : 'NOT open'}: answers p50 ${quantile(times, 0.5).toFixed(3)} ms, p99 ${quantile(times, 0.99).toFixed(3)} ms`,
  );
  await pool.end();
  await server.start();
}

const EXPERIMENTS = { flood, restart, breaker };

async function main() {
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(EXPERIMENTS);
  const server = await startPostgres({ tls: false });
  try {
    for (const name of chosen) await EXPERIMENTS[name](server);
  } finally {
    await server.stop();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
