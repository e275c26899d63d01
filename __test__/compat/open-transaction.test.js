'use strict';

// Transactions that a plain pool's user leaves open, as scripts that send BEGIN and COMMIT through `pool.query` and
// helpers that roll tests back do. Under pg they stay open for whoever gets the connection next.

const { alike, inProcess, outcome } = require('./alike');
const { Pool } = require('../../index.js');
const { config: serverConfig } = require('../support/server');

async function withPool(driver, options, body) {
  const pool = new driver.Pool(options);
  pool.on('error', () => {});
  try {
    return await body(pool);
  } finally {
    if (!pool.ending) await pool.end();
  }
}

const plain = (config) => config({ max: 1, application_name: 'open transaction' });

// The ways to run a statement that a pool chooses the connection for.
const ROUTES = {
  'pool.query': (pool, text, values) => pool.query(text, values),
  'a client each time': async (pool, text, values) => {
    const client = await pool.connect();
    try {
      return await client.query(text, values);
    } finally {
      client.release();
    }
  },
  'pool.query of a pool with listeners': (pool, text, values) => {
    if (pool.listenerCount('acquire') === 0) pool.on('acquire', () => {});
    return pool.query(text, values);
  },
};

describe.each(Object.entries(ROUTES))('by %s', (_, run) => {
  alike('BEGIN, INSERT and ROLLBACK are one transaction', (driver, config) =>
    withPool(driver, plain(config), async (pool) => {
      await run(pool, 'CREATE TEMP TABLE open_transaction (id int)');
      await run(pool, 'BEGIN');
      await run(pool, 'INSERT INTO open_transaction VALUES ($1)', [1]);
      await run(pool, 'ROLLBACK');
      await run(pool, 'BEGIN');
      await run(pool, 'INSERT INTO open_transaction VALUES ($1)', [2]);
      const { command } = await run(pool, 'COMMIT');
      const { rows } = await run(pool, 'SELECT id FROM open_transaction');
      return [command, rows];
    }),
  );

  alike('the next client is told that its transaction is open', (driver, config) =>
    withPool(driver, plain(config), async (pool) => {
      const statuses = [];
      for (const text of ['SELECT 1', 'BEGIN', 'SELECT 2', 'COMMIT']) {
        await run(pool, text);
        const client = await pool.connect();
        statuses.push(client.getTransactionStatus());
        client.release();
      }
      return statuses;
    }),
  );

  alike('a failed statement of the pool ends it, one of a client leaves it failed', (driver, config) =>
    withPool(driver, plain(config), async (pool) => {
      await run(pool, 'BEGIN');
      const { error } = await outcome(run(pool, 'SELECT 1 / 0'));
      const next = await outcome(run(pool, 'SELECT 1 AS one'));
      return [error.code, next.value?.rows, next.error?.code];
    }),
  );
});

alike('a client is used after its release, and what it sends belongs to its transaction', (driver, config) =>
  withPool(driver, plain(config), async (pool) => {
    const client = await pool.connect();
    await client.query('BEGIN');
    client.release();
    await client.query('CREATE TEMP TABLE after_release (id int)');
    const answers = [];
    for (let i = 0; i < 2; i++) {
      const next = await pool.connect();
      // Sent before the release, answered after it.
      const answer = next.query('INSERT INTO after_release VALUES ($1) RETURNING id', [i]);
      next.release();
      answers.push((await answer).rows);
    }
    await client.query('ROLLBACK');
    answers.push((await outcome(pool.query('SELECT id FROM after_release'))).error.code);
    return answers;
  }),
);

alike('a script that prepares, inserts and forgets COMMIT has stored nothing', async (driver, config) => {
  const table = `open_transaction_${driver === require('pg') ? 'pg' : 'ours'}`;
  await withPool(driver, plain(config), async (pool) => {
    await pool.query(`DROP TABLE IF EXISTS ${table}`);
    await pool.query(`CREATE TABLE ${table} (id int)`);
    await pool.query('BEGIN');
    await pool.query(`INSERT INTO ${table} VALUES ($1)`, [1]);
  });
  return withPool(driver, plain(config), async (pool) => {
    const { rows } = await pool.query(`SELECT id FROM ${table}`);
    await pool.query(`DROP TABLE ${table}`);
    return rows;
  });
});

describe('with this package', () => {
  const heard = async (driver, options) => {
    const pool = new driver.Pool(options);
    const warnings = [];
    process.on('warning', (warning) => warnings.push(`${warning.name} ${warning.code}`));
    for (let i = 0; i < 2; i++) {
      await pool.query('BEGIN');
      await pool.query('COMMIT');
      const client = await pool.connect();
      await client.query('BEGIN');
      client.release();
      await pool.query('COMMIT');
    }
    await pool.end();
    console.log(JSON.stringify(warnings));
  };

  test('a process is warned once', async () => {
    const { stdout } = await inProcess(require('../../index.js'), plain(serverConfig), heard);
    expect(JSON.parse(stdout)).toEqual(['Warning PGPOOL_OPEN_TRANSACTION']);
  });

  test('an enhanced pool rolls it back, and warns of nothing', async () => {
    const options = { ...plain(serverConfig), enhanced: true };
    const { stdout } = await inProcess(require('../../index.js'), options, heard);
    expect(JSON.parse(stdout)).toEqual([]);
    const pool = new Pool(options);
    await pool.query('BEGIN');
    const client = await pool.connect();
    expect(client.getTransactionStatus()).toBe('I');
    client.release();
    await pool.end();
  });
});
