'use strict';

// pg-pool's own Pool, with the Client class of this package.

const PgPool = require('pg-pool');

module.exports = async function scenario(config, { Client }) {
  const pool = new PgPool({ ...config, max: 2 }, Client);
  const events = [];
  for (const name of ['connect', 'acquire', 'release']) pool.on(name, () => events.push(name));
  const { rows } = await pool.query('SELECT $1::text AS text', ['hello']);
  const client = await pool.connect();
  await client.query('BEGIN');
  const status = client.getTransactionStatus();
  await client.query('ROLLBACK');
  const counts = [pool.totalCount, pool.idleCount, pool.waitingCount];
  client.release();
  const same = (await pool.connect()) === client;
  client.release(new Error('done with it'));
  const refused = await pool.query('SELECT 1 / 0').catch(({ code }) => code);
  const told = [...events];
  const many = await Promise.all([1, 2, 3, 4, 5].map((n) => pool.query('SELECT $1::int AS n', [n])));
  await pool.end();
  return {
    rows,
    status,
    counts,
    same,
    refused,
    many: many.map((result) => result.rows[0].n),
    isOurs: client instanceof Client,
    told,
  };
};
