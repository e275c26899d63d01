'use strict';

// What reaches a pool from outside its methods: errors emitted on its clients, clients ended behind its
// back, an end while queries are under way.

const { AsyncLocalStorage } = require('node:async_hooks');
const ours = require('../../index.js');
const { alike, outcome, journal, inProcess } = require('./alike');
const { asleep, blocked, config } = require('../support/server');
const { until } = require('../support/until');

async function withPool(driver, options, body) {
  const pool = new driver.Pool(options);
  try {
    return await body(pool);
  } finally {
    if (!pool.ending) await pool.end();
  }
}

describe('a client of a pool', () => {
  alike('that emits an error while idle is reported and removed', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      const notes = journal(pool, ['remove', 'error']);
      const client = await pool.connect();
      const told = new Promise((resolve) =>
        pool.once('error', (error, of) => resolve([error.message, error.client === client, of === client])),
      );
      client.release();
      client.emit('error', new Error('from outside'));
      const counts = [pool.totalCount, pool.idleCount];
      await until(() => notes.includes('remove'));
      const other = await pool.connect();
      const isNew = other !== client;
      other.release();
      return [await told, counts, [...notes], isNew];
    }),
  );

  alike('that emits an error while lent tells its own listeners and stays with the pool', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      const notes = journal(pool, ['error']);
      const client = await pool.connect();
      journal(client, ['error'], notes, 'client ');
      client.emit('error', new Error('from outside'));
      client.release();
      return [notes, pool.totalCount];
    }),
  );

  alike('that is ended under a query of the pool fails the query', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      pool.on('error', () => {});
      await pool.query('SELECT 1');
      const query = outcome(pool.query('SELECT pg_sleep(30)'));
      await asleep(pool._clients[0].processID);
      pool._clients[0].end();
      const { error } = await query;
      const { rows } = await pool.query('SELECT 1 AS one');
      return [error.message, rows];
    }),
  );

  alike('that has been used up is ending as soon as it is released', (driver, config) =>
    withPool(driver, config({ maxUses: 2 }), async (pool) => {
      const logged = [];
      pool.log = (message) => logged.push(message);
      const client = await pool.connect();
      client.release();
      const before = client._ending;
      const same = (await pool.connect()) === client;
      client.release();
      return [before, same, client._ending, pool.totalCount, logged.includes('remove expended client')];
    }),
  );
});

describe('the end of a pool', () => {
  alike('comes after the queries whose connection was being opened', async (driver, config) => {
    const pool = new driver.Pool(config({ max: 5 }));
    const order = [];
    const queries = [1, 2, 3, 4, 5].map((n) =>
      pool.query('SELECT $1::int AS n', [n]).then(({ rows }) => order.push(rows[0].n)),
    );
    await pool.end();
    order.push('end');
    await Promise.all(queries);
    return [order.slice(0, 5).sort(), order[5]];
  });

  test('rejects what waits beyond them', async () => {
    const pool = new ours.Pool(config({ max: 1 }));
    const { text, free } = await blocked();
    const first = outcome(pool.query(`SELECT 1 AS one FROM (${text} OFFSET 0) AS lock`));
    const second = outcome(pool.query('SELECT 2 AS two'));
    const ended = pool.end();
    expect((await second).error.message).toBe('Cannot use a pool after calling end on the pool');
    await free();
    expect((await first).value.rows).toEqual([{ one: 1 }]);
    await ended;
  });
});

alike('a client ended while it connects leaves no unhandled rejection', (driver, config) =>
  inProcess(driver, config(), (pg, options) => {
    const client = new pg.Client(options);
    client.connect();
    client.end();
  }),
);

describe('callbacks', () => {
  test('run in the async context of the call that they were given to', async () => {
    const storage = new AsyncLocalStorage();
    const pool = new ours.Pool(config({ max: 1 }));
    const within = (name, start) =>
      storage.run(name, () => new Promise((resolve) => start(() => resolve(storage.getStore()))));
    try {
      const held = await pool.connect();
      const waiting = [
        within('query of the pool', (done) => pool.query('SELECT 1', done)),
        within('checkout', (done) =>
          pool.connect((error, client, release) => {
            release();
            done();
          }),
        ),
      ];
      const direct = await within('query of a client', (done) => held.query('SELECT 1', done));
      storage.run('somebody else', () => held.release());
      expect([direct, ...(await Promise.all(waiting))]).toEqual([
        'query of a client',
        'query of the pool',
        'checkout',
      ]);
    } finally {
      await pool.end();
    }
  });
});
