'use strict';

// The tracing channels: what is published, in which order, and in whose async context.

const { AsyncLocalStorage } = require('node:async_hooks');
const { execFile } = require('node:child_process');
const { tracingChannel } = require('node:diagnostics_channel');
const { promisify } = require('node:util');
const { Client } = require('../..');
const { config } = require('../support/server');
const { open, undo } = require('../support/undo');

const traced = () => open({ tier: 'traced' });

function follow(kind) {
  const seen = [];
  const channel = tracingChannel(`pgpool-rs:${kind}`);
  const note = (event) => (context) => seen.push([event, context]);
  const handlers = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  };
  channel.subscribe(handlers);
  undo.push(() => channel.unsubscribe(handlers));
  return seen;
}

const names = (seen) => seen.map(([event]) => event);

test('a query of a pool is one operation, with its text and its result and without its parameters', async () => {
  const seen = follow('query');
  const pool = traced();
  const { rows } = await pool.query('SELECT $1::text AS told', ['planted-parameter']);
  expect(rows).toEqual([{ told: 'planted-parameter' }]);
  expect(names(seen)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
  const [, { result, ...context }] = seen[0];
  expect(context).toEqual({ text: 'SELECT $1::text AS told', name: undefined, pool: 'traced' });
  expect(result.rows).toEqual(rows);
  expect(seen.every(([, other]) => other === seen[0][1])).toBe(true);
});

test.each([
  ['config with a callback', (pool, done) => pool.query({ text: 'SELECT 1 AS one' }, done)],
  ['callback in place of values', (pool, done) => pool.query('SELECT 1 AS one', done)],
  ['text, values and callback', (pool, done) => pool.query('SELECT $1::int AS one', [1], done)],
])('%s: the caller is answered once', async (name, run) => {
  const seen = follow('query');
  const pool = traced();
  const result = await new Promise((resolve, reject) =>
    run(pool, (error, value) => (error ? reject(error) : resolve(value))),
  );
  expect(result.rows).toEqual([{ one: 1 }]);
  expect(names(seen)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
});

test('a query of a pool that runs on a client is traced once', async () => {
  const seen = follow('query');
  const pool = traced();
  pool.on('acquire', () => {});
  await pool.query('SELECT 1');
  expect(names(seen).filter((event) => event === 'start')).toHaveLength(1);
});

test('an error is published and reaches the caller', async () => {
  const seen = follow('query');
  const pool = traced();
  await expect(pool.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
  expect(names(seen)).toContain('error');
  expect(seen[0][1].error.code).toBe('22012');
});

test('checkouts, and connects of clients that stand alone, have channels of their own', async () => {
  const acquires = follow('acquire');
  const connects = follow('connect');
  const pool = traced();
  const client = await pool.connect();
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  client.release();
  await new Promise((resolve, reject) =>
    pool.connect((error, lent, release) => (error ? reject(error) : resolve(release()))),
  );
  expect(names(acquires)).toEqual([
    'start',
    'end',
    'asyncStart',
    'asyncEnd',
    'start',
    'end',
    'asyncStart',
    'asyncEnd',
  ]);
  const alone = new Client(config());
  await alone.connect();
  await alone.end();
  expect(names(connects)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
  expect(connects[0][1]).toMatchObject({ database: config().database });
  expect(JSON.stringify(Object.keys(connects[0][1]))).not.toContain('password');
});

test('the context of the caller is kept, for promises and for callbacks', async () => {
  const storage = new AsyncLocalStorage();
  const channel = tracingChannel('pgpool-rs:query');
  channel.start.bindStore(storage, (context) => ({ span: context.text }));
  undo.push(() => channel.start.unbindStore(storage));
  const seen = [];
  const handlers = { asyncEnd: () => seen.push(storage.getStore()) };
  channel.subscribe(handlers);
  undo.push(() => channel.unsubscribe(handlers));
  const pool = traced();
  await pool.query('SELECT 1');
  await new Promise((resolve) => pool.query('SELECT 2', resolve));
  expect(seen).toEqual([{ span: 'SELECT 1' }, { span: 'SELECT 2' }]);
});

test('a transaction is one operation, however often it runs, around its checkouts and statements', async () => {
  const transactions = follow('transaction');
  const acquires = follow('acquire');
  const queries = follow('query');
  const pool = traced();
  let runs = 0;
  const work = async (client) => {
    if (runs++ === 0) await client.query("DO $$ BEGIN RAISE 'again' USING ERRCODE = '40001'; END $$");
    return (await client.query('SELECT 1 AS one')).rows;
  };
  expect(await pool.transaction(work, { retryDelay: 1 })).toEqual([{ one: 1 }]);
  expect(names(transactions)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd']);
  expect(transactions[0][1]).toMatchObject({ pool: 'traced', result: [{ one: 1 }] });
  expect(
    queries
      .filter(([event]) => event === 'start')
      .map(([, { text }]) => text)
      .filter((text) => text === 'BEGIN'),
  ).toHaveLength(2);
  expect(acquires.every(([, context]) => context.pool === 'traced')).toBe(true);
  await expect(pool.transaction(async () => Promise.reject(new Error('the work failed')))).rejects.toThrow(
    'the work failed',
  );
  expect(names(transactions).slice(4)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd']);
});

test('what runs inside a transaction knows whose it is', async () => {
  const storage = new AsyncLocalStorage();
  const channel = tracingChannel('pgpool-rs:transaction');
  channel.start.bindStore(storage, () => 'the transaction');
  undo.push(() => channel.start.unbindStore(storage));
  const pool = traced();
  const inside = await pool.transaction(async (client) => {
    await client.query('SELECT 1');
    return storage.getStore();
  });
  expect(inside).toBe('the transaction');
  expect(storage.getStore()).toBeUndefined();
});

// As the agents do that change the source of pg/lib/client.js while it is loaded: nothing is replaced afterwards.
test('code put into the methods of Client by a loader runs for queries and new connections of pools', async () => {
  const script = `
    const Module = require('node:module');
    const { _compile } = Module.prototype;
    globalThis.heard = [];
    Module.prototype._compile = function (source, file) {
      if (file === ${JSON.stringify(require.resolve('../../lib/client.js'))}) {
        source = source.replace(/^  (connect|query)\\((.*)\\) \\{$/gm, (_, name, names) =>
          '  ' + name + '(...given) { heard.push("' + name + '"); return this.within_' + name + '(...given); }\\n  within_' + name + '(' + names + ') {');
      }
      return _compile.call(this, source, file);
    };
    const { Pool } = require(${JSON.stringify(require.resolve('../..'))});
    (async () => {
      const pool = new Pool(${JSON.stringify(config({ max: 1 }))});
      heard.length = 0;
      const { rows } = await pool.query('SELECT 1 AS one');
      const client = await pool.connect();
      await client.query('SELECT 2');
      client.release();
      await pool.end();
      console.log(JSON.stringify({ rows, heard }));
    })();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script]);
  expect(JSON.parse(stdout)).toEqual({ rows: [{ one: 1 }], heard: ['connect', 'query', 'query'] });
});
