'use strict';

const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { from, to } = require('pg-copy-streams');

const ROWS = 20000;

function* lines() {
  for (let n = 1; n <= ROWS; n++) yield `${n}\tline ${n} äöü\n`;
}

module.exports = async function scenario(config, { Pool }) {
  const pool = new Pool(config);
  const client = await pool.connect();
  await client.query('CREATE TABLE lines (n int PRIMARY KEY, text text)');
  const into = client.query(from('COPY lines FROM STDIN'));
  await pipeline(Readable.from(lines()), into);
  const { rows } = await client.query(
    'SELECT count(*)::int, sum(n)::int AS total, max(length(text)) FROM lines',
  );
  let bytes = 0;
  let text = '';
  const out = client.query(to('COPY (SELECT * FROM lines ORDER BY n) TO STDOUT'));
  for await (const chunk of out) {
    bytes += chunk.length;
    if (text.length < 100) text += chunk;
  }
  const broken = await pipeline(
    Readable.from(['1\tagain\n']),
    client.query(from('COPY lines FROM STDIN')),
  ).catch(({ code }) => code);
  const wrong = await pipeline(Readable.from(['x\n']), client.query(from('COPY nowhere FROM STDIN'))).catch(
    ({ code }) => code,
  );
  const after = (await client.query('SELECT count(*)::int FROM lines')).rows;
  client.release();
  await pool.end();
  return {
    copied: into.rowCount,
    rows,
    bytes,
    text: text.slice(0, 60),
    read: out.rowCount,
    broken,
    wrong,
    after,
  };
};
