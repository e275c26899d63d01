'use strict';

// A test runner evaluates the package anew for each test file, in one process. Tiers that a file did not end hold no
// session of the server while the next file runs.

const { admin, config } = require('../support/server');
const { until } = require('../support/until');

const NAME = 'over_and_out';
const { host, port, user, password, database, ssl } = config();
const VARIABLES = {
  DB_HOST: host,
  DB_PORT: String(port),
  DB_USER: user,
  DB_PASSWORD: password,
  DB_NAME: database,
  ...(ssl && { DB_SSL: 'no-verify' }),
  DB_HIGH_PRIORITY_MIN: '3',
  DB_LOW_PRIORITY_MIN: '1',
  PGAPPNAME: NAME,
};

beforeAll(() => Object.assign(process.env, VARIABLES));
afterAll(() => {
  for (const name of Object.keys(VARIABLES)) delete process.env[name];
});

async function sessionsAre(count) {
  const text =
    'SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()';
  await until(async () => (await admin(text, [NAME])).rows[0].count === count, { what: `${count} sessions` });
}

function load() {
  jest.resetModules();
  return require('../..');
}

test('the tiers of a test file that is over rest, and fill again when they are used', async () => {
  const over = load();
  const tier = over.getPool('highPriority');
  await Promise.all([tier.query('SELECT 1'), over.getPool('lowPriority').ready()]);
  await sessionsAre(4);
  const leased = await tier.connect();
  const next = load();
  const client = new next.Client(config({ application_name: 'next' }));
  await client.connect();
  await sessionsAre(1);
  leased.release();
  await sessionsAre(0);
  expect((await tier.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await sessionsAre(3);
  await over.endPools();
  await client.end();
});
