'use strict';

// How long a lone request waits where nothing answers: on idle connections that are half open, for a server that accepts
// and is silent, and at a place that cannot be right.

const net = require('node:net');
const { once } = require('node:events');
const { closedPort } = require('../../../__test__/support/ports');
const { Proxy } = require('../../../__test__/support/proxy');
const { sleep } = require('../clock');
const { ContenderRun } = require('../contender-run');
const { TEXTS } = require('../ledger');

const NAMES = ['pg', 'executeQueryWithRetry', 'getPool()', 'Pool'];
const LIMIT = 40_000;
const HALF_OPEN = [3, 10, 30];
const ACQUIRE_TIMEOUT = 2_000;

function seconds(millis) {
  return `${(millis / 1000).toFixed(millis < 100 ? 3 : 1)} s`;
}

async function waitOf(contender, place, { warm = 0, env, before = async () => {}, patience }) {
  const job = { contender, place, texts: TEXTS, rate: 1, writes: 0, prefix: '', warm, patience };
  const run = new ContenderRun(job, { limit: LIMIT, env });
  try {
    await run.open();
    await before();
    const { took, error } = await run.ask('read');
    return error === null ? seconds(took) : `${error}, ${seconds(took)}`;
  } finally {
    await run.stop();
  }
}

async function onHalfOpen(contender, count, stage, patience) {
  const proxy = await Proxy.start(stage.server);
  const place = {
    ...stage.place,
    hosts: [{ host: proxy.host, port: proxy.port }],
    options: { max: count, min: count, connectionTimeoutMillis: LIMIT },
  };
  const env = {
    DB_HIGH_PRIORITY_MAX: String(count),
    DB_HIGH_PRIORITY_MIN: String(count),
    DB_CONNECTION_TIMEOUT: String(LIMIT),
  };
  const before = async () => {
    for (const link of proxy.links) link.stall();
    await sleep(1_500);
  };
  try {
    return await waitOf(contender, place, { warm: count, env, before, patience });
  } finally {
    await proxy.stop();
  }
}

async function measureHalfOpen(stage, { quick }) {
  const patience = quick ? 12_000 : 35_000;
  const lines = await Promise.all(
    HALF_OPEN.map(async (count) => {
      const waits = await Promise.all(NAMES.map((name) => onHalfOpen(name, count, stage, patience)));
      return [`${count} idle connections`, ...waits];
    }),
  );
  return {
    title: 'A lone query on idle connections that are half open',
    story: `What is sent on the idle connections of a pool vanishes; a new one would work. After 1.5 s one query is asked, without a timeout (${patience / 1000} s were waited for).`,
    lines: [['', ...NAMES], ...lines],
  };
}

async function silentServer() {
  const sockets = new Set();
  const listener = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    listener.close();
    await once(listener, 'close');
  };
  return { host: '127.0.0.1', port: listener.address().port, stop };
}

async function measureSilent(stage) {
  const { stop, ...silent } = await silentServer();
  const place = (options) => ({
    ...stage.place,
    hosts: [silent],
    options: { acquireTimeoutMillis: ACQUIRE_TIMEOUT, connectionTimeoutMillis: ACQUIRE_TIMEOUT, ...options },
  });
  const env = { DB_ACQUIRE_TIMEOUT: String(ACQUIRE_TIMEOUT) };
  const ask = (name, options) => waitOf(name, place(options), { env, patience: LIMIT });
  // Where connecting may take longer than waiting may.
  const slow = { connectionTimeoutMillis: 30_000 };
  try {
    const [pg, execute, tier, plain, retried, patient] = await Promise.all([
      ask('pg'),
      ask('executeQueryWithRetry'),
      ask('getPool()'),
      ask('Pool'),
      ask('Pool', { retryAttempts: 3 }),
      ask('Pool', { retryAttempts: 3, ...slow }),
    ]);
    return {
      title: 'A server that accepts and is silent, `acquireTimeoutMillis: 2000`',
      story: 'A lone query; the tiers are told by `DB_ACQUIRE_TIMEOUT`, pg by `connectionTimeoutMillis`.',
      lines: [
        ['', 'rejected'],
        ['pg', pg],
        ['executeQueryWithRetry', execute],
        ['getPool()', tier],
        ['Pool', plain],
        ['Pool, `retryAttempts: 3`', retried],
        ['Pool, `retryAttempts: 3, connectionTimeoutMillis: 30000`', patient],
      ],
    };
  } finally {
    await stop();
  }
}

async function measureHopeless(stage) {
  const right = stage.place;
  const [{ host }] = right.hosts;
  const cases = {
    'a port where nobody listens': { ...right, hosts: [{ host, port: await closedPort() }] },
    'a host that does not exist': { ...right, hosts: [{ host: 'nowhere.invalid', port: 5432 }] },
    'a wrong password': { ...right, password: 'wrong' },
    'a database that does not exist': { ...right, database: 'nowhere' },
  };
  const lines = await Promise.all(
    Object.entries(cases).map(async ([title, place]) => {
      const waits = await Promise.all(NAMES.map((name) => waitOf(name, place, { patience: LIMIT })));
      return [title, ...waits];
    }),
  );
  return {
    title: 'A place that cannot be right, asked for the first time',
    story: 'What a lone query of a process that has never been connected is told, and when.',
    lines: [['', ...NAMES], ...lines],
  };
}

module.exports = { measureHalfOpen, measureSilent, measureHopeless };
