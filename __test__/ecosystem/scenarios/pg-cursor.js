'use strict';

const Cursor = require('pg-cursor');

module.exports = async function scenario(config, { Pool, Client }) {
  const pool = new Pool(config);
  const client = await pool.connect();
  const cursor = client.query(new Cursor('SELECT n, n * 2 AS twice FROM generate_series(1, $1) n', [10]));
  const pages = [];
  for (let page = await cursor.read(4); page.length > 0; page = await cursor.read(4))
    pages.push(page.map(({ n }) => n));
  await cursor.close();
  const arrays = client.query(new Cursor('SELECT 1 AS a, 2 AS a', null, { rowMode: 'array' }));
  const asArrays = await arrays.read(10);
  await arrays.close();
  const early = client.query(new Cursor('SELECT * FROM generate_series(1, 1000000)'));
  const some = (await early.read(3)).length;
  await early.close();
  const wrong = await client
    .query(new Cursor('SELECT * FROM nowhere'))
    .read(1)
    .catch(({ code, message }) => [code, message]);
  const after = (await client.query('SELECT 1 AS one')).rows;
  const result = await new Promise((resolve, reject) => {
    client
      .query(new Cursor('SELECT 1 AS x'))
      .read(5, (error, rows, { fields, command, rowCount }) =>
        error
          ? reject(error)
          : resolve([rows, fields.map(({ name, dataTypeID }) => [name, dataTypeID]), command, rowCount]),
      );
  });
  client.release();
  await pool.end();
  const single = new Client(config);
  await single.connect();
  await single.query('BEGIN');
  const inside = single.query(new Cursor('SELECT generate_series(1, 5) AS n'));
  const first = await inside.read(2);
  await inside.close();
  await single.query('COMMIT');
  await single.end();
  return { pages, asArrays, some, wrong, after, result, first };
};
