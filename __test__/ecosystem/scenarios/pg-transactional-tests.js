'use strict';

const { testTransaction } = require('pg-transactional-tests');

module.exports = async function scenario(config, pg) {
  const setUp = new pg.Client(config);
  await setUp.connect();
  await setUp.query('CREATE TABLE note (text text PRIMARY KEY)');
  await setUp.end();
  const pool = new pg.Pool(config);
  const notes = async () =>
    (await pool.query('SELECT text FROM note ORDER BY text')).rows.map(({ text }) => text);
  await testTransaction.start();
  await pool.query("INSERT INTO note VALUES ('outer')");
  await testTransaction.start();
  await pool.query("INSERT INTO note VALUES ('inner')");
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query("INSERT INTO note VALUES ('of the application')");
  await client.query('ROLLBACK');
  client.release();
  const inside = await notes();
  const error = await pool.query("INSERT INTO note VALUES ('inner')").catch(({ code }) => code);
  await testTransaction.rollback();
  const between = await notes();
  await testTransaction.rollback();
  const after = await notes();
  await testTransaction.close();
  await pool.end();
  return { inside, error, between, after };
};
