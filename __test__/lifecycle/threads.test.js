'use strict';

// Several JavaScript threads in one process: each has its pools, none harms another, and a thread
// that is terminated in the middle of its queries leaves no connection behind.

const path = require('node:path');
const { Worker } = require('node:worker_threads');
const { once } = require('node:events');
const { start, killAll, WELL } = require('./child');
const { admin, config } = require('../support/server');
const { until } = require('../support/until');
const { sockets, socketsBackTo } = require('../faults/trial');

const PACKAGE = path.resolve(__dirname, '../..');
const workers = new Set();
afterAll(async () => {
  killAll();
  await Promise.all([...workers].map((worker) => worker.terminate()));
});

function thread(body, options) {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Pool, Client } = require(${JSON.stringify(PACKAGE)});
    const { config } = workerData;
    (async () => {${body}})();
  `;
  const worker = new Worker(source, { eval: true, workerData: { config: config(options) } });
  workers.add(worker);
  worker.once('exit', () => workers.delete(worker));
  return worker;
}

const connectionsOf = async (name) =>
  (await admin('SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = $1', [name]))
    .rows[0].count;

test('several threads use pools of their own at once, and end by themselves', async () => {
  const threads = Array.from({ length: 4 }, (_, i) =>
    thread(
      `
      const pool = new Pool(config);
      let sum = 0;
      await Promise.all(Array.from({ length: 200 }, async (_, n) => {
        const { rows } = await pool.query('SELECT $1::int * 2 AS twice, repeat($2, 100) AS text', [n, 'x']);
        if (rows[0].text.length !== 100) throw new Error('a wrong row');
        sum += rows[0].twice;
      }));
      await pool.end();
      parentPort.postMessage(sum);
    `,
      { max: 3, application_name: `thread_${i}` },
    ),
  );
  const sums = await Promise.all(threads.map(async (worker) => (await once(worker, 'message'))[0]));
  expect(sums).toEqual(threads.map(() => 199 * 200));
  await until(() => threads.every((worker) => !workers.has(worker)), { what: 'the threads to end' });
});

test.each([
  ['short queries', `for (;;) await pool.query('SELECT 1')`],
  ['a query that sleeps', `await pool.query('SELECT pg_sleep(600)')`],
  ['a large result', `await pool.query("SELECT repeat('x', 1000) AS text FROM generate_series(1, 2000000)")`],
  [
    'a lent connection',
    `const client = await pool.connect(); await client.query('BEGIN'); for (;;) await client.query('SELECT 1')`,
  ],
])('a thread terminated during %s leaves no connection', async (_, body) => {
  const before = sockets();
  const name = `terminated_${Math.floor(Math.random() * 1e9)}`;
  const worker = thread(
    `
    const pool = new Pool(config);
    const clients = Array.from({ length: 2 }, () => new Client(config));
    await Promise.all(clients.map((client) => client.connect()));
    const run = async () => {${body}};
    parentPort.postMessage('running');
    await Promise.all([run(), run(), run()]);
  `,
    { max: 3, application_name: name },
  );
  worker.on('error', () => {});
  await once(worker, 'message');
  await until(async () => (await connectionsOf(name)) === 5, { what: 'all connections to be there' });
  await worker.terminate();
  // The server may find out later: it does not look at the connection while it sleeps.
  await socketsBackTo(before);
});

test('threads come and go while the main thread works, without a crash', async () => {
  const child = start(
    'pgpool-rs',
    `
    const { Worker } = require('node:worker_threads');
    const source = \`
      const { Pool } = require(\${JSON.stringify(${JSON.stringify(PACKAGE)})});
      const pool = new Pool(require('node:worker_threads').workerData);
      const run = async () => { for (;;) await pool.query("SELECT repeat('x', 500) FROM generate_series(1, 500)"); };
      for (let i = 0; i < 8; i++) run();
      pool.query('SELECT 1').then(() => require('node:worker_threads').parentPort.postMessage('running'));
    \`;
    const pool = new driver.Pool(config({ max: 2 }));
    let working = true;
    const work = (async () => { while (working) await pool.query('SELECT 1'); })();
    for (let round = 0; round < 8; round++) {
      const workers = Array.from({ length: 2 }, () => new Worker(source, { eval: true, workerData: config({ max: 4 }) }));
      await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
    working = false;
    await work;
    say((await pool.query('SELECT 1 AS one')).rows);
    await pool.end();
  `,
  );
  expect({ ...(await child.ended()), errors: child.errors }).toEqual({ ...WELL, errors: '' });
  expect(child.lines).toEqual([[{ one: 1 }]]);
});

test('process.exit() of the main thread while other threads run queries ends cleanly', async () => {
  const child = start(
    'pgpool-rs',
    `
    const { Worker } = require('node:worker_threads');
    const source = \`
      const { Pool } = require(\${JSON.stringify(${JSON.stringify(PACKAGE)})});
      const pool = new Pool(require('node:worker_threads').workerData);
      for (let i = 0; i < 8; i++) (async () => { for (;;) await pool.query('SELECT * FROM generate_series(1, 1000)'); })();
      pool.query('SELECT 1').then(() => require('node:worker_threads').parentPort.postMessage('running'));
    \`;
    const workers = Array.from({ length: 3 }, () => new Worker(source, { eval: true, workerData: config({ max: 4 }) }));
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
    process.exit(3);
  `,
  );
  expect(await child.ended()).toEqual({ code: 3, signal: null });
  expect(child.errors).toBe('');
});
