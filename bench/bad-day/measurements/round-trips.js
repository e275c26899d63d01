'use strict';

// Round trips per operation on a network of 10 ms, counted by a proxy: what a check before lending or a question before
// COMMIT would add.

const { sleep } = require('../clock');
const { ContenderRun } = require('../contender-run');
const { TEXTS } = require('../ledger');
const { CountingProxy } = require('./counting-proxy');

const NAMES = ['pg', 'executeQueryWithRetry', 'getPool()', 'Pool'];
const ROUND_TRIP = 10;
const SHORT_PAUSE = 1_500;
const LONG_PAUSE = 40_000;
// A tier opens its minimum in the background.
const SETTLING = 1_500;
const LIMIT = 60_000;

/** The same connections are to be there after the long pause. */
const OPTIONS = { idleTimeoutMillis: 120_000 };

async function measureContender(contender, stage, longPause) {
  const proxy = await CountingProxy.start(stage.server, ROUND_TRIP);
  const { user, password, database } = stage.place;
  const place = { hosts: [proxy], user, password, database, options: OPTIONS };
  const job = { contender, place, texts: TEXTS, rate: 1, writes: 0, prefix: '', warm: 0, patience: LIMIT };
  const run = new ContenderRun(
    { ...job, place: { ...place, hosts: [{ host: proxy.host, port: proxy.port }] } },
    { limit: LIMIT },
  );
  const count = async (work) => {
    proxy.reset();
    const { took, error } = await work();
    return error ?? `${proxy.most()} (${took.toFixed(0)} ms)`;
  };
  const ask = () => run.ask('read');
  try {
    await run.open();
    const cold = await count(ask);
    await sleep(SETTLING);
    await ask();
    const warm = await count(ask);
    await run.ask('transaction');
    const transaction = await count(() => run.ask('transaction'));
    await sleep(SHORT_PAUSE);
    const short = await count(ask);
    await sleep(longPause);
    const long = await count(ask);
    return { cold, warm, short, long, transaction };
  } finally {
    await run.stop();
    await proxy.stop();
  }
}

/** All contenders at once: each has a proxy of its own, and mostly they wait. */
async function measureRoundTrips(stage, { quick }) {
  const longPause = quick ? 5_000 : LONG_PAUSE;
  const all = await Promise.all(NAMES.map((name) => measureContender(name, stage, longPause)));
  const line = (title, key) => [title, ...all.map((one) => one[key])];
  return {
    title: 'Round trips per operation',
    story: `The server is ${ROUND_TRIP} ms away; a proxy counts the round trips of the connection that made most of them (the one of TCP's own handshake not among them). A transaction has two statements, BEGIN and COMMIT; with \`pool.transaction\` and \`executeTransactionWithRetry\` the id is asked for that settles a lost COMMIT.`,
    lines: [
      ['', ...NAMES],
      line('first query, with its connect', 'cold'),
      line('next query', 'warm'),
      line(`after a pause of ${SHORT_PAUSE / 1000} s`, 'short'),
      line(`after a pause of ${longPause / 1000} s`, 'long'),
      line('transaction of four', 'transaction'),
    ],
  };
}

module.exports = { measureRoundTrips };
