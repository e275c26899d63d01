'use strict';

// Run as a process of its own, with --expose-gc: moves many rows and tells what it saw. The result is
// one line of JSON: `{ rows, sum, growth }`, growth in bytes of resident memory above the start.
//
// usage: node --expose-gc bulk.js <task> <config as JSON> <rows>

const { Readable, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { from, to } = require('pg-copy-streams');
const QueryStream = require('pg-query-stream');
const { Pool } = require('../..');

const CHUNK = 64 * 1024;

/** Lines of `number TAB text`, made as they are wanted. */
function lines(rows) {
  let next = 0;
  return new Readable({
    read() {
      let text = '';
      while (text.length < CHUNK && next < rows) text += `${next++}\tsome text of row ${next}\n`;
      this.push(text === '' ? null : text);
    },
  });
}

/** Reads such lines, whatever the chunks. */
class Reader extends Writable {
  constructor() {
    super();
    this.rows = 0;
    this.sum = 0;
    this.rest = '';
  }

  _write(chunk, encoding, callback) {
    const parts = (this.rest + chunk.toString('latin1')).split('\n');
    this.rest = parts.pop();
    for (const line of parts) {
      this.rows++;
      this.sum += parseInt(line, 10);
    }
    callback();
  }
}

const TABLE = 'CREATE TEMP TABLE bulk (a int, b text)';
const SERIES = "SELECT g AS a, repeat('x', 20) AS b FROM generate_series(0, $1::int - 1) g";

async function sumOf(iterable) {
  let rows = 0;
  let sum = 0;
  for await (const row of iterable) {
    rows++;
    sum += row.a;
  }
  return { rows, sum };
}

const tasks = {
  async copyIn(client, rows) {
    await client.query(TABLE);
    await pipeline(lines(rows), client.query(from('COPY bulk FROM STDIN')));
    const {
      rows: [seen],
    } = await client.query('SELECT count(*)::int AS rows, sum(a)::float8 AS sum FROM bulk');
    return seen;
  },
  async copyOut(client, rows) {
    await client.query(TABLE);
    await client.query(`INSERT INTO bulk ${SERIES}`, [rows]);
    const reader = new Reader();
    await pipeline(client.query(to('COPY bulk TO STDOUT')), reader);
    return { rows: reader.rows, sum: reader.sum };
  },
  queryStream(client, rows) {
    return sumOf(client.query(new QueryStream(SERIES, [rows], { batchSize: 1000 })));
  },
  stream(client, rows) {
    return sumOf(client.stream(SERIES, [rows]));
  },
};

async function main([task, config, rows]) {
  const pool = new Pool({ ...JSON.parse(config), max: 1 });
  const client = await pool.connect();
  await client.query('SELECT 1');
  global.gc();
  const start = process.memoryUsage().rss;
  let peak = start;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 20);
  const seen = await tasks[task](client, Number(rows));
  clearInterval(timer);
  client.release();
  await pool.end();
  console.log(JSON.stringify({ ...seen, growth: peak - start }));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
