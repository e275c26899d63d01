'use strict';

// Articles and their comments on Express. What a reader waits for runs on the tier highPriority, reports run on
// lowPriority, the tables are made on admin. A request whose reader has left is cancelled on the server, a pool
// that cannot serve is a 503, and a stop lets requests finish.

const { once } = require('node:events');
const express = require('express');
const {
  getPool,
  endPools,
  metricsText,
  AcquireTimeoutError,
  CircuitOpenError,
  PoolFullError,
} = require('pgpool-rs');

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS articles (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, section text NOT NULL,
                                       title text NOT NULL, comments int NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS comments (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
                                       article int NOT NULL REFERENCES articles, body text NOT NULL)`;

// What a client can get wrong, by the code of the server's refusal.
const STATUS = { '22P02': 400, 22003: 400, 23502: 400, 23503: 404 };

const readers = getPool('highPriority');
const reports = getPool('lowPriority');
const app = express();
app.use(express.json());

app.get('/articles/:id', async (request, response) => {
  const { rows } = await readers.query('SELECT * FROM articles WHERE id = $1', [request.params.id]);
  response.status(rows.length === 0 ? 404 : 200).json(rows[0] ?? { error: 'no such article' });
});

app.post('/articles', async (request, response) => {
  const { section, title } = request.body ?? {};
  const { rows } = await readers.query('INSERT INTO articles (section, title) VALUES ($1, $2) RETURNING *', [
    section,
    title,
  ]);
  response.status(201).json(rows[0]);
});

// Two statements that belong together. Both run again when the server had to undo them.
app.post('/articles/:id/comments', async (request, response) => {
  const comment = await readers.transaction(async (client) => {
    const values = [request.params.id, request.body?.body];
    const { rows } = await client.query(
      'INSERT INTO comments (article, body) VALUES ($1, $2) RETURNING *',
      values,
    );
    await client.query('UPDATE articles SET comments = comments + 1 WHERE id = $1', [request.params.id]);
    return rows[0];
  });
  response.status(201).json(comment);
});

app.get('/reports/sections', async (request, response) => {
  const { rows } = await reports.query({
    text: 'SELECT section, count(*)::int AS articles, sum(comments)::int AS comments FROM articles GROUP BY 1 ORDER BY 1',
    signal: departure(response),
    readOnly: true,
  });
  response.json(rows);
});

// Every row, a page at a time; a slow reader slows the reading from the server.
app.get('/export', async (request, response) => {
  const signal = departure(response);
  response.type('application/x-ndjson');
  for await (const article of reports.stream('SELECT * FROM articles ORDER BY id', [], { signal })) {
    if (!response.write(`${JSON.stringify(article)}\n`)) await once(response, 'drain', { signal });
  }
  response.end();
});

app.get('/metrics', (request, response) => {
  response.type('text/plain').send(metricsText());
});

app.use((error, request, response, next) => {
  if (response.destroyed) return undefined; // nobody is there any more
  if (response.headersSent) return next(error);
  if ([AcquireTimeoutError, CircuitOpenError, PoolFullError].some((kind) => error instanceof kind)) {
    const wait = error.nextProbe ? Math.max(1, Math.ceil((error.nextProbe - Date.now()) / 1000)) : 1;
    return response.status(503).set('Retry-After', String(wait)).json({ error: 'the database is busy' });
  }
  const status = STATUS[error.code] ?? error.status ?? 500;
  if (status >= 500) console.error(error);
  return response.status(status).json({ error: status >= 500 ? 'internal error' : error.message });
});

/** A signal that is given when the reader leaves before the answer. */
function departure(response) {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}

async function main() {
  await getPool('admin').query(SCHEMA);
  const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
  await once(server, 'listening');
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => server.close(() => endPools()));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
