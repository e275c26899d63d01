'use strict';

// The example as it is started by hand, on a database of its own.

const path = require('node:path');
const { testArticles } = require('../../__test__/support/article-tests');
const { admin, freshDatabase } = require('../../__test__/support/server');
const { ask, askUntilServed, serve } = require('../../__test__/support/serving');

// Windows has no signals that a process could answer.
const onPosix = process.platform === 'win32' ? test.skip : test;
let database;
let server;

beforeAll(async () => {
  database = await freshDatabase();
  server = await serve(path.join(__dirname, 'server.mjs'), database.config());
});

afterAll(async () => {
  server?.kill();
  await database?.drop();
});

const get = (route) => ask(server.url + route);
const post = (route, body) => ask(server.url + route, body);

testArticles(() => server.url);

test('comments that arrive together are all counted', async () => {
  const { body } = await post('/articles', { section: 'arts', title: 'Drums' });
  const comments = `${server.url}/articles/${body.id}/comments`;
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, n) => askUntilServed(comments, { body: `no. ${n}` })),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect((await get(`/articles/${body.id}`)).body.comments).toBe(30);
});

test('the loss of all connections is not seen by those who read', async () => {
  await admin('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [
    database.database,
  ]);
  expect((await get('/articles/999999')).status).toBe(404);
});

onPosix('told to stop, it ends its pool and exits', async () => {
  expect(await server.stop()).toBe(0);
});
