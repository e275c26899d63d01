// What watching costs: lookups at ten callers with monitoring on and off, and a scrape of /metrics while they run.
//
//   node bench/monitor.js [--rounds 12] [--seconds 2]
//
// `--scraper URL` is what it calls itself with, to scrape from a process of its own.
'use strict';

const http = require('node:http');
const { once } = require('node:events');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { parseArgs } = require('node:util');
const { startPostgres } = require('../__test__/support/postgres');
const { quantile } = require('./statistics');

const CALLERS = 10;
const LOOKUP = 'select id, title, body from articles where id = $1';
const ROWS = 1000;
const SCRAPES = 100;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '12' },
    seconds: { type: 'string', default: '2' },
    scraper: { type: 'string' },
  },
});

/** Lookups per second of ten closed loops. */
async function throughput(pool, seconds) {
  const until = performance.now() + seconds * 1000;
  let done = 0;
  const caller = async (number) => {
    while (performance.now() < until) {
      await pool.query(LOOKUP, [1 + ((number * 7919 + done) % ROWS)]);
      done++;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: CALLERS }, (_, number) => caller(number)));
  return (done * 1000) / (performance.now() - started);
}

/** On against off, in the same process and the same round, in turns that begin with either. */
async function overhead(open) {
  const { ConnectionHealthMonitor } = require('..');
  const ratios = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    const figures = {};
    for (const name of round % 2 === 0 ? ['on', 'off'] : ['off', 'on']) {
      const pool = open({ tier: name, monitor: name === 'on' });
      const monitor =
        name === 'on' ? new ConnectionHealthMonitor(pool).startMonitoring(5000, { log: false }) : null;
      await throughput(pool, 0.3);
      figures[name] = await throughput(pool, Number(options.seconds));
      if (monitor) monitor.stopMonitoring();
      await pool.end();
    }
    ratios.push(figures.on / figures.off);
  }
  const percent = (ratio) => `${((1 - ratio) * 100).toFixed(2)}%`;
  console.log(
    `monitoring on against off, ${CALLERS} callers, ${ratios.length} rounds: costs ${percent(quantile(ratios, 0.5))} of the throughput ` +
      `(from ${percent(Math.max(...ratios))} to ${percent(Math.min(...ratios))})`,
  );
}

function get(url) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    http
      .get(url, (response) => {
        response.resume();
        response.on('end', () => resolve(performance.now() - started));
      })
      .on('error', reject);
  });
}

/** The text alone, on the thread that queries come from; and a scrape over HTTP from another process. */
async function scrape(open) {
  const { metricsText, monitorServer } = require('..');
  const pools = ['highPriority', 'lowPriority', 'admin'].map((tier) => open({ tier }));
  await Promise.all(pools.map((pool) => pool.query(LOOKUP, [1])));
  const server = await monitorServer({ port: 0 });
  let running = true;
  const load = Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (running) await pools[0].query(LOOKUP, [1]);
    }),
  );
  const [texts, answers] = [[], []];
  const scraper = require('node:child_process').fork(__filename, [
    '--scraper',
    new URL('/metrics', server.url).href,
  ]);
  scraper.on('message', (took) => answers.push(took));
  while (answers.length < SCRAPES && scraper.exitCode === null) {
    const started = performance.now();
    metricsText();
    texts.push(performance.now() - started);
    await sleep(50);
  }
  running = false;
  await load;
  if (scraper.exitCode === null) await once(scraper, 'exit');
  const told = (times) =>
    `p50 ${quantile(times, 0.5).toFixed(2)} ms, p99 ${quantile(times, 0.99).toFixed(2)} ms`;
  console.log(
    `metricsText() under full load, 3 pools, ${Buffer.byteLength(metricsText())} bytes: ${told(texts)}`,
  );
  console.log(`a scrape of /metrics from another process: ${told(answers)}`);
  await server.close();
  await Promise.all(pools.map((pool) => pool.end()));
}

async function main() {
  const server = await startPostgres({ tls: false });
  const { host, port, user, password, database } = server;
  const open = (more) =>
    new (require('..').Pool)({ host, port, user, password, database, max: CALLERS, ...more });
  try {
    await server.query(
      `create table articles as select id, 'title ' || id as title, repeat('body ', 20) as body from generate_series(1, ${ROWS}) id`,
    );
    await server.query('alter table articles add primary key (id)');
    await overhead(open);
    await scrape(open);
  } finally {
    await server.stop();
  }
}

// The scraper: further apart than the server keeps a text.
async function scraper(url) {
  for (let count = 0; count < SCRAPES; count++) {
    process.send(await get(url));
    await sleep(250);
  }
  process.disconnect();
}

(options.scraper ? scraper(options.scraper) : main()).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
