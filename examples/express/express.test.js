'use strict';

// The example as it is started by hand, on a database of its own.

const path = require('node:path');
const { Client } = require('pg');
const { testArticles } = require('../../__test__/support/article-tests');
const { admin, freshDatabase } = require('../../__test__/support/server');
const { ask, serve } = require('../../__test__/support/serving');
const { until } = require('../../__test__/support/until');

// Windows has no signals that a process could answer.
const onPosix = process.platform === 'win32' ? test.skip : test;
let database;
let client;
let server;

beforeAll(async () => {
  database = await freshDatabase();
  client = new Client(database.config());
  await client.connect();
  server = await serve(path.join(__dirname, 'server.js'), database.config());
});

afterAll(async () => {
  server?.kill();
  await client?.end();
  await database?.drop();
});

const get = (route) => ask(server.url + route);
const post = (route, body) => ask(server.url + route, body);
// Connections that the tier for reports has lent.
const lent = async () =>
  Number(/pool_name="lowPriority".*state="used"} (\d+)/.exec((await get('/metrics')).body)[1]);
const running = async (like) => {
  const text =
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query LIKE $2";
  return (await admin(text, [database.database, like])).rows[0].n;
};

testArticles(() => server.url);

test('reports, exports and metrics come from the tier for them', async () => {
  await post('/articles', { section: 'arts', title: 'Drums' });
  expect((await get('/reports/sections')).body).toContainEqual({ section: 'arts', articles: 1, comments: 0 });
  const lines = (await get('/export')).body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ title }) => title)).toContain('Drums');
  expect((await get('/metrics')).body).toMatch(/lowPriority/);
});

test('an export that its reader leaves gives its connection back', async () => {
  await client.query(
    `INSERT INTO articles (section, title) SELECT 'archive', repeat('x', 1000) FROM generate_series(1, 50000)`,
  );
  const leaving = new AbortController();
  const response = await fetch(`${server.url}/export`, { signal: leaving.signal });
  await response.body.getReader().read();
  await until(lent);
  leaving.abort();
  await until(async () => !(await lent()));
});

test('a report that nobody waits for any more ends on the server', async () => {
  await client.query('BEGIN; LOCK TABLE articles IN ACCESS EXCLUSIVE MODE');
  const leaving = new AbortController();
  const report = fetch(`${server.url}/reports/sections`, { signal: leaving.signal }).catch(
    (error) => error.name,
  );
  await until(async () => (await running('SELECT section,%')) === 1);
  leaving.abort();
  expect(await report).toBe('AbortError');
  await until(async () => (await running('SELECT section,%')) === 0);
  await client.query('ROLLBACK');
  expect((await get('/reports/sections')).status).toBe(200);
});

onPosix('told to stop, it ends its pools and exits', async () => {
  expect(await server.stop()).toBe(0);
  expect(server.said()).not.toMatch(/Error/);
});
