'use strict';

// What is logged, to a callback and to standard error, and that secrets are never in it.

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { Pool, metrics, metricsText, monitorServer, onLog } = require('../..');
const { config, server } = require('../support/server');
const { until } = require('../support/until');

const undo = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function open(options) {
  const pool = new Pool(config({ max: 2, ...options }));
  undo.push(() => pool.end().catch(() => {}));
  return pool;
}

function listen(options) {
  const heard = [];
  undo.push(onLog((event) => heard.push(event), options));
  return heard;
}

test('connects and closes are heard with stable fields', async () => {
  const heard = listen();
  const pool = open({ tier: 'logged' });
  const client = await pool.connect();
  client.release(true);
  const mine = () => heard.filter((event) => event.pool === 'logged');
  await until(() => mine().some(({ event }) => event === 'closed'));
  expect(mine().map(({ target, event }) => `${target} ${event}`)).toEqual(['connection opened', 'connection closed']);
  const [opened, closed] = mine();
  expect(opened).toMatchObject({ level: 'info', fields: { connection: expect.any(Number), millis: expect.any(Number) } });
  expect(closed.fields).toEqual({ connection: opened.fields.connection, reason: 'released' });
});

test('a level leaves out what is below, and a listener can be ended', async () => {
  const heard = listen({ level: 'warn' });
  const all = [];
  const end = onLog((event) => all.push(event));
  await open({ tier: 'levels' }).query('SELECT 1');
  await until(() => all.some(({ pool }) => pool === 'levels'));
  expect(heard.filter(({ pool }) => pool === 'levels')).toEqual([]);
  end();
  const count = all.length;
  const pool = open({ tier: 'levels-2', port: 1, host: '127.0.0.1' });
  await expect(pool.query('SELECT 1')).rejects.toThrow();
  await until(() => heard.some((event) => event.pool === 'levels-2' && event.event === 'connect_failed'));
  expect(all).toHaveLength(count);
  expect(() => onLog('no function')).toThrow(TypeError);
  expect(() => onLog(() => {}, { level: 'loud' })).toThrow(TypeError);
});

test('a listener that throws is counted, and queries go on', async () => {
  const faults = () => metrics().series.find(({ name }) => name === 'pgpool_rs.listener.faults').points[0].value;
  const before = faults();
  undo.push(
    onLog(() => {
      throw new Error('listener');
    }),
  );
  const heard = listen();
  const pool = open({ tier: 'faulty' });
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await until(() => heard.length > 0 && faults() > before);
});

// Runs a script in a process of its own, with the package as `pg`.
function run(script, env) {
  const source = `const pg = require(${JSON.stringify(path.resolve(__dirname, '../..'))});\n(async () => {${script}})();`;
  return promisify(execFile)(process.execPath, ['-e', source], { env: { ...process.env, ...env } });
}

test('standard error gets what PGPOOL_LOG asks for, as text or JSON, and nothing unasked', async () => {
  const { host, port, user, password, database } = server();
  const script = `const pool = new pg.Pool(${JSON.stringify({ host, port, user, password, database, tier: 'written' })});
    await pool.query('SELECT 1'); await pool.end();`;
  const unasked = await run(script, { PGPOOL_LOG: '' });
  expect(unasked.stderr).toBe('');
  const text = await run(script, { PGPOOL_LOG: 'info' });
  expect(text.stderr).toMatch(/^pgpool-rs \d+ INFO {2}connection opened pool="written" connection=\d+ millis=/);
  const json = await run(script, { PGPOOL_LOG: 'off,connection=info', PGPOOL_LOG_FORMAT: 'json' });
  const [first] = json.stderr.trim().split('\n').map((line) => JSON.parse(line));
  expect(first).toMatchObject({ level: 'info', target: 'connection', event: 'opened', pool: 'written' });
});

test('secrets and parameters are in no output', async () => {
  const secret = 'planted-secret-7c1';
  const heard = listen({ level: 'debug' });
  const live = await monitorServer({ port: 0, interval: 20 });
  undo.push(() => live.close());
  const refused = open({ tier: 'secrets', user: 'nobody', password: secret });
  await expect(refused.query('SELECT 1')).rejects.toThrow();
  const throwing = open({
    tier: 'secrets-2',
    password: () => {
      throw new Error(`the vault said ${secret}`);
    },
  });
  await expect(throwing.query('SELECT 1')).rejects.toThrow();
  const pool = open({ tier: 'secrets-3', options: '-c search_path=public' });
  await pool.query('SELECT $1::text', [secret]);
  await expect(pool.query('SELECT $1::int', [secret])).rejects.toThrow();
  await expect(pool.query(`SELECT '${secret}'::int`)).rejects.toThrow();
  await until(() => heard.filter(({ event }) => event === 'connect_failed').length >= 1);
  const page = await fetch(new URL('/events', live.url));
  const reader = page.body.getReader();
  const history = new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  const health = await (await fetch(new URL('/health', live.url))).text();
  const everything = JSON.stringify([heard, metrics(), history, health]) + metricsText();
  expect(everything).toContain('secrets-3');
  expect(everything).not.toContain(secret);

  const { host, port } = server();
  const script = `const pool = new pg.Pool(${JSON.stringify({ host, port, user: 'nobody', password: secret })});
    await pool.query('SELECT $1', ['${secret}']).catch(() => {}); await pool.end();`;
  const { stderr, stdout } = await run(script, { PGPOOL_LOG: 'debug' });
  expect(stderr).toContain('connect_failed');
  expect(stderr + stdout).not.toContain(secret);
});
