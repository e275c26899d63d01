'use strict';

// pg-copy-streams: COPY in both directions, failures, back-pressure, bounded memory.

const { once } = require('node:events');
const { Readable, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { from, to } = require('pg-copy-streams');
const { Client, Pool } = require('../..');
const { alike } = require('../compat/alike');
const { bulk } = require('../support/bulk-run');
const { config } = require('../support/server');

const GROWTH_LIMIT = 150 * 1024 * 1024;

async function withTable(driver, options, body) {
  const client = new driver.Client(options);
  await client.connect();
  await client.query('CREATE TEMP TABLE copied (a int, b text)');
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

async function textOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

alike('what goes in comes out', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const incoming = client.query(from('COPY copied FROM STDIN'));
    await pipeline(Readable.from(['1\tone\n2\t', 'two\n', '3\tdrei ß\n']), incoming);
    const outgoing = client.query(to('COPY copied TO STDOUT'));
    const text = await textOf(outgoing);
    // The row count comes with the end of the command, after the end of the data.
    const { rows } = await client.query('SELECT count(*)::int AS n FROM copied');
    return [incoming.rowCount, text, outgoing.rowCount, rows];
  }),
);

alike('a long row comes out in several chunks', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const outgoing = client.query(to("COPY (SELECT repeat('x', 100000)) TO STDOUT"));
    const sizes = [];
    for await (const chunk of outgoing) sizes.push(chunk.length);
    return [sizes.length > 1, sizes.reduce((sum, size) => sum + size)];
  }),
);

alike('two in a row, then queries', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const first = await textOf(client.query(to('COPY (SELECT g FROM generate_series(1, 3) g) TO STDOUT')));
    const second = await textOf(client.query(to('COPY (SELECT 9) TO STDOUT')));
    return [first, second, (await client.query('SELECT 1 AS one')).rows];
  }),
);

alike('what is asked for behind an open COPY waits for its end', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const incoming = client.query(from('COPY copied FROM STDIN'));
    incoming.write('1\tone\n');
    const outgoing = client.query(to('COPY copied TO STDOUT'));
    const text = textOf(outgoing);
    for (let i = 2; i <= 50; i++) {
      incoming.write(`${i}\tmore\n`);
      await new Promise(setImmediate);
    }
    incoming.end();
    return [
      (await text).length,
      incoming.rowCount,
      (await client.query('SELECT count(*)::int AS n FROM copied')).rows,
    ];
  }),
);

alike('a bad line fails the stream, and the client goes on', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const incoming = client.query(from('COPY copied FROM STDIN'));
    const failed = once(incoming, 'error');
    incoming.end('not a number\tx\n');
    const [error] = await failed;
    return [error.message, error.code, (await client.query('SELECT count(*)::int AS n FROM copied')).rows];
  }),
);

alike('a stream that is destroyed copies nothing', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const incoming = client.query(from('COPY copied FROM STDIN'));
    incoming.write('1\tone\n');
    const failed = once(incoming, 'error');
    incoming.destroy(new Error('changed my mind'));
    const [error] = await failed;
    return [
      error.message.includes('changed my mind'),
      (await client.query('SELECT count(*)::int AS n FROM copied')).rows,
    ];
  }),
);

alike('COPY TO of what is not there fails the stream', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const outgoing = client.query(to('COPY nowhere TO STDOUT'));
    const failed = once(outgoing, 'error');
    outgoing.resume();
    const [error] = await failed;
    return [error.message, error.code, (await client.query('SELECT 1 AS one')).rows];
  }),
);

alike('a plain query that asks for a stream is refused', (driver, config) =>
  withTable(driver, config(), async (client) => {
    const refused = await client
      .query('COPY copied FROM STDIN')
      .catch((error) => [error.code, error.message]);
    return [refused, (await client.query('SELECT 1 AS one')).rows];
  }),
);

test('chunks are sent through the public methods of the connection', () =>
  withTable({ Client }, config(), async (client) => {
    const told = [];
    await new Promise((resolve, reject) => {
      client.query({
        submit: (connection) => connection.query('COPY copied FROM STDIN'),
        handleCopyInResponse(connection) {
          connection.sendCopyFromChunk(Buffer.from('1\tone\n'));
          connection.endCopyFrom();
        },
        handleCommandComplete: (message) => told.push(message.text),
        handleReadyForQuery: resolve,
        handleError: reject,
      });
    });
    expect(told).toEqual(['COPY 1']);
  }));

test('a reader that stops stops the server', () =>
  withTable({ Client }, config(), async (client) => {
    const outgoing = client.query(
      to("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"),
    );
    await once(outgoing, 'readable');
    // What has been read ahead stays small however long nobody reads on.
    const other = new Client(config());
    await other.connect();
    const waiting = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid = ${client.processID} AND wait_event = 'ClientWrite'`;
    while ((await other.query(waiting)).rows[0].n === 0);
    await other.end();
    expect(client.connection.stream.readableLength).toBeLessThan(2 * 1024 * 1024);
    let bytes = 0;
    await pipeline(
      outgoing,
      new Writable({
        write(chunk, encoding, callback) {
          bytes += chunk.length;
          callback();
        },
      }),
    );
    expect(bytes).toBe(100_100_000);
  }));

test('a copy that was broken off costs its pool the connection, and nobody waits for it', async () => {
  const pool = new Pool(config({ max: 1 }));
  const client = await pool.connect();
  const outgoing = client.query(
    to("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"),
  );
  for await (const chunk of outgoing) if (chunk.length > 0) break;
  client.release();
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
});

test('a million rows go in in bounded memory', async () => {
  const { rows, sum, growth } = await bulk('copyIn', 1_000_000);
  expect([rows, sum]).toEqual([1_000_000, 499_999_500_000]);
  expect(growth).toBeLessThan(GROWTH_LIMIT);
});

test('a million rows come out in bounded memory', async () => {
  const { rows, sum, growth } = await bulk('copyOut', 1_000_000);
  expect([rows, sum]).toEqual([1_000_000, 499_999_500_000]);
  expect(growth).toBeLessThan(GROWTH_LIMIT);
});
