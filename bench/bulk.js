// Moving many rows on one connection: COPY in both directions with
// pg-copy-streams, and rows as they come with pg-query-stream, pg-cursor or, where
// the module has one, its own stream. For anything that has pg's API.
'use strict';

const { Readable, Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { STATEMENTS } = require('./schema');

const CHUNK = 64 * 1024;
const BATCH = 1_000;
const PAGE = 100;

// Lines as COPY takes them, in chunks as a file is read; made once per count.
const prepared = new Map();

function chunksOf(count) {
  if (!prepared.has(count)) {
    const text = Array.from({ length: count }, (_, number) => `${number}\tsome text of row ${number}\n`).join(
      '',
    );
    const bytes = Buffer.from(text);
    const chunks = [];
    for (let at = 0; at < bytes.length; at += CHUNK) chunks.push(bytes.subarray(at, at + CHUNK));
    prepared.set(count, chunks);
  }
  return prepared.get(count);
}

async function counted(rows) {
  let count = 0;
  for await (const row of rows) if (row.id >= 0) count++;
  return count;
}

function bulkOperations(withClient) {
  const { from, to } = require('pg-copy-streams');
  const Cursor = require('pg-cursor');
  const QueryStream = require('pg-query-stream');
  const queryStream = (client, rows) =>
    client.query(new QueryStream(STATEMENTS.series, [rows], { batchSize: BATCH }));

  return {
    copyIn: (rows) =>
      withClient(async (client) => {
        await client.query(STATEMENTS.emptyBulk);
        const stream = client.query(from(STATEMENTS.copyIn));
        await pipeline(Readable.from(chunksOf(rows), { objectMode: false }), stream);
        return stream.rowCount;
      }),

    // The row count of the stream comes with the end of the command, after its end.
    copyOut: (rows) =>
      withClient(async (client) => {
        const stream = client.query(to(STATEMENTS.copyOut.replace('$1', rows)));
        await pipeline(stream, new Writable({ write: (chunk, encoding, done) => done() }));
        await client.query(STATEMENTS.simple);
        return stream.rowCount;
      }),

    queryStream: (rows) => withClient((client) => counted(queryStream(client, rows))),

    cursor: (rows) =>
      withClient(async (client) => {
        const cursor = client.query(new Cursor(STATEMENTS.series, [rows]));
        let count = 0;
        for (;;) {
          const page = await cursor.read(PAGE);
          count += page.length;
          if (page.length < PAGE) break;
        }
        await cursor.close();
        return count;
      }),

    stream: (rows) =>
      withClient((client) =>
        counted(
          client.stream
            ? client.stream(STATEMENTS.series, [rows], { batchSize: BATCH })
            : queryStream(client, rows),
        ),
      ),
  };
}

module.exports = { bulkOperations };
