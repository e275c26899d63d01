'use strict';

// Secrets are planted wherever an application can put one: password, connection string, parameters, texts that
// the server quotes, keys, environment, callbacks. Then everything this package says is searched for them.

const path = require('node:path');
const { execFile } = require('node:child_process');
const { tracingChannel } = require('node:diagnostics_channel');
const { inspect, promisify } = require('node:util');
const { Client, Pool, metrics, metricsText, monitorServer, monitors, onLog } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, server } = require('../support/server');
const { undo } = require('../support/undo');
const { until } = require('../support/until');

const SECRET = 'planted-secret-7c1';

function open(options) {
  const pool = new Pool({ max: 2, ...options });
  undo.push(() => pool.end().catch(() => {}));
  return pool;
}

// Everything that can be read off a value by logging it, in any usual way.
const views = (value) =>
  [
    inspect(value, { depth: 12 }),
    JSON.stringify(value),
    String(value && value.stack),
    String(value && value.message),
  ].join('\n');

/** All that is told from here on: call it for what was told until then. */
async function listen() {
  const said = [];
  undo.push(onLog((event) => said.push(event), { level: 'debug' }));
  for (const kind of ['query', 'acquire', 'connect', 'transaction']) {
    const channel = tracingChannel(`pgpool-rs:${kind}`);
    const hear = ({ result, error, ...context }) =>
      said.push({ kind, ...context, failed: error && error.code });
    const handlers = { start: hear, end: hear, asyncStart: hear, asyncEnd: hear, error: hear };
    channel.subscribe(handlers);
    undo.push(() => channel.unsubscribe(handlers));
  }
  for (const event of ['alert', 'clear', 'metrics']) {
    const hear = (value) => said.push(value);
    monitors.on(event, hear);
    undo.push(() => monitors.off(event, hear));
  }
  const live = await monitorServer({
    port: 0,
    interval: 20,
    thresholds: { errorRate: { above: 0, forMillis: 0 }, leastOperations: 1 },
  });
  undo.push(() => live.close());
  return async () => {
    const page = await fetch(new URL('/events', live.url));
    const reader = page.body.getReader();
    const history = new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    const pages = await Promise.all(
      ['/', '/health', '/metrics'].map(async (route) => (await fetch(new URL(route, live.url))).text()),
    );
    return [views(said), history, ...pages, views(metrics()), metricsText()].join('\n');
  };
}

const failure = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

test('what the application must keep to itself is in no log, metric, page, trace, error or inspection', async () => {
  const told = await listen();
  const shown = [];
  const { host, port, database } = config();
  const proxy = await Proxy.start({ host, port });
  undo.push(() => proxy.stop());

  const wrongPassword = open(config({ tier: 'secret-password', user: 'nobody', password: SECRET }));
  const inUrl = open({
    connectionString: `postgres://nobody:${SECRET}@${host}:${port}/${database}`,
    tier: 'secret-url',
  });
  const nowhere = open({
    connectionString: `postgres://nobody:${SECRET}@127.0.0.1:1/${database}`,
    tier: 'secret-nowhere',
  });
  const vault = open(config({ tier: 'secret-vault', password: async () => SECRET, user: 'nobody' }));
  const ssl = { key: SECRET, passphrase: SECRET, pfx: SECRET };
  const key = open(config({ tier: 'secret-key', ssl }));
  for (const pool of [wrongPassword, inUrl, nowhere, vault, key]) {
    const error = await failure(pool.query('SELECT $1::text', [SECRET]));
    expect(error).toBeDefined();
    shown.push(views(error), views(pool));
    shown.push(views(await failure(pool.connect())));
  }
  const client = new Client(
    config({ user: 'nobody', password: SECRET, ssl: { rejectUnauthorized: false, key: undefined } }),
  );
  client.on('error', () => {});
  shown.push(views(await failure(client.connect())), views(client));

  // Parameters: of statements that fail, wait, are retried, and are lost.
  const pool = open(
    config({
      host: proxy.host,
      port: proxy.port,
      tier: 'secret-parameters',
      retryAttempts: 2,
      retryDelay: 1,
      breaker: { failedConnects: 1, failingMillis: 0, firstProbeMillis: 600_000 },
    }),
  );
  monitors.watch(pool).updateMetrics();
  await pool.query('SELECT $1::text', [SECRET]);
  proxy.cutOnMessage('toClient', 'C');
  await pool.query({ name: 'named', text: 'SELECT $1::text', values: [SECRET], idempotent: true });
  expect(await failure(pool.query('SELECT $1::int', [SECRET]))).toMatchObject({ code: '22P02' });
  expect(await failure(pool.query(`SELECT '${SECRET}'::int`))).toMatchObject({ code: '22P02' });
  await failure(pool.transaction((borrower) => borrower.query('SELECT $1::int', [SECRET])));
  const serialization = `DO $$ BEGIN RAISE '${SECRET}' USING ERRCODE = '40001'; END $$`;
  await failure(pool.query(serialization));
  const borrower = await pool.connect();
  borrower.on('error', () => {});
  const running = failure(borrower.query('SELECT pg_sleep(600), $1::text', [SECRET]));
  await proxy.refuse();
  proxy.cut();
  shown.push(views(await running));
  borrower.release(true);
  shown.push(views(await failure(pool.query('SELECT $1::text', [SECRET]))));
  shown.push(
    views(await failure(pool.query({ text: 'SELECT $1::text', values: [SECRET], retryAttempts: 0 }))),
  );
  shown.push(views(pool), views(monitors.watch(pool).updateMetrics()));

  const said = await told();
  for (const word of ['secret-parameters', 'connect_failed', 'retrying', 'breaker', 'CIRCUIT_OPEN', 'opened'])
    expect(said).toContain(word);
  // The text of a statement is the tracer's to have; it is where `SELECT '...'` shows.
  expect(said.replaceAll(`SELECT '${SECRET}'::int`, '').replaceAll(serialization, '')).not.toContain(SECRET);
  expect(shown.join('\n')).not.toContain(SECRET);
});

test.each(['text', 'json'])(
  'nor in what is written to standard error as %s, nor of the environment',
  async (format) => {
    const { host, port } = server();
    const script = `
    const { getPool, Pool } = require(${JSON.stringify(path.resolve(__dirname, '../..'))});
    (async () => {
      const tier = getPool('highPriority');
      await tier.query('SELECT $1', ['${SECRET}']).catch((error) => console.log(error));
      const pool = new Pool({ connectionString: process.env.DATABASE_URL });
      await pool.query('SELECT $1', ['${SECRET}']).catch((error) => console.log(error));
      console.log(tier, pool);
      await Promise.all([tier.end(), pool.end()]);
    })();`;
    const env = {
      ...process.env,
      DB_HOST: host,
      DB_PORT: String(port),
      DB_USER: 'nobody',
      DB_PASSWORD: SECRET,
      DB_ADMIN_PASSWORD: SECRET,
      DB_RETRY_ATTEMPTS: '1',
      DB_RETRY_DELAY: '1',
      DB_ACQUIRE_TIMEOUT: '200',
      DB_SSL: '',
      PGPASSWORD: SECRET,
      DATABASE_URL: `postgres://nobody:${SECRET}@${host}:${port}/postgres`,
      PGPOOL_LOG: 'trace',
      PGPOOL_LOG_FORMAT: format,
    };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', script], { env });
    expect(stderr).toContain('connect_failed');
    expect(stdout).toContain('28P01');
    expect(stdout + stderr).not.toContain(SECRET);
  },
);

test('an error of the configuration names the variable and not what it held', async () => {
  const script = `
    const { getPool } = require(${JSON.stringify(path.resolve(__dirname, '../..'))});
    try { getPool('admin'); } catch (error) { console.log(error, error.problems); }`;
  const env = {
    ...process.env,
    DB_SSL: 'true',
    DB_SSL_KEY: SECRET,
    DB_SSL_CERT: SECRET,
    DB_SSL_CA: SECRET,
    DB_ADMIN_PASSWORD: SECRET,
    DB_PORT: 'wrong',
  };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', script], { env });
  await until(() => stdout !== '');
  expect(stdout).toContain('DB_PORT');
  expect(stdout + stderr).not.toContain(SECRET);
});
