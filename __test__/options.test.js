'use strict';

// The table of options and those who read it: what is out of range is refused, at the right moment and by name.

const { ConfigurationError, Pool } = require('..');
const { OPTIONS, optionsOf } = require('../lib/config/options');
const { config } = require('./support/server');
const { until } = require('./support/until');

const counts = [...optionsOf('pool'), ...optionsOf('client')].filter(
  // pg takes a `max` or a `maxUses` of 0 for its default.
  ({ kind, from, name }) => kind === 'count' && from !== undefined && !['max', 'maxUses'].includes(name),
);

async function failureOf(options) {
  const pool = new Pool(config(options));
  const query = async () => pool.query('SELECT 1');
  const failure = await query().catch((error) => error);
  await pool.end();
  return failure;
}

test.each(counts.map(({ name, from }) => [name, from]))('%s is refused below %i', async (name, from) => {
  const failure = await failureOf({ [name]: from - 1 });
  expect(failure).toBeInstanceOf(ConfigurationError);
  expect(failure.problems).toEqual([`${name} must be a number of at least ${from}`]);
  expect((await failureOf({ [name]: from })).rows).toHaveLength(1);
});

test('all that is out of range is named at once', async () => {
  const { problems } = await failureOf({ min: -1, maxWaiting: -1, statementCacheSize: -1 });
  expect(problems.map((problem) => problem.split(' ')[0]).sort()).toEqual([
    'maxWaiting',
    'min',
    'statementCacheSize',
  ]);
});

test('options that fail far from where they were written are refused by the constructor', () => {
  const early = OPTIONS.filter((option) => option.early);
  const wrong = Object.fromEntries(
    early.map(({ name, kind }) => [name, kind === 'function' ? 'loud' : 'soon']),
  );
  expect(early.length).toBeGreaterThan(1);
  try {
    new Pool({ ...wrong, breaker: { limit: 5 } });
    throw new Error('nothing is refused');
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    for (const name of [...Object.keys(wrong), 'breaker.limit']) expect(error.message).toContain(name);
  }
});

test.each([
  ['acquireTimeoutMillis', { acquireTimeoutMillis: 30000 }, true],
  ['retryAttempts', { retryAttempts: 3 }, true],
  ['baseDelay', { baseDelay: 50 }, true],
  ['an option of pg', { connectionTimeoutMillis: 30000 }, false],
  ['enhanced: false', { retryAttempts: 3, enhanced: false }, false],
])('min of a pool with %s is opened and kept: %j is %s', async (_, options, isKept) => {
  const pool = new Pool(config({ min: 3, ...options }));
  await pool.query('SELECT 1');
  await Promise.all([pool.query('SELECT 1'), pool.query('SELECT 1')]);
  if (isKept) await until(() => pool.totalCount === 3);
  expect(Boolean(pool.options.enhanced)).toBe(isKept);
  await pool.end();
});

test('an option has the same effect under each of its names', async () => {
  const pool = new Pool(config({ max: 1, maxRetries: 2, baseDelay: 1 }));
  const retries = [];
  pool.on('retry', ({ attempt, of }) => retries.push(`${attempt} of ${of}`));
  await pool.query(`
    CREATE FUNCTION pg_temp.fail() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RAISE 'again' USING ERRCODE = '40001'; END $$`);
  await expect(pool.query('SELECT pg_temp.fail()')).rejects.toMatchObject({ code: '40001' });
  await pool.end();
  expect(retries).toEqual(['1 of 2', '2 of 2']);
});
