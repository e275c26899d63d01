// Articles and their comments on Fastify, as an ES module: one plugin owns the pool, so that it is there before the
// first request and ends after the last one. Schemas check what comes in; what the pool refuses is a 503.

import Fastify from 'fastify';
import { Pool, AcquireTimeoutError, CircuitOpenError, PoolFullError } from 'pgpool-rs';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS articles (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, section text NOT NULL,
                                       title text NOT NULL, comments int NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS comments (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
                                       article int NOT NULL REFERENCES articles, body text NOT NULL)`;

const id = { type: 'object', properties: { id: { type: 'integer', minimum: 1, maximum: 2147483647 } } };
const text = { type: 'string', minLength: 1, maxLength: 10000 };
const newArticle = {
  type: 'object',
  required: ['section', 'title'],
  properties: { section: text, title: text },
};
const newComment = { type: 'object', required: ['body'], properties: { body: text } };

/** `app.db`, a pool with retry and a breaker; options are those of `new Pool`, the rest is in PG* variables. */
async function database(app, options) {
  const pool = new Pool({ retryAttempts: 3, deadline: 10000, breaker: 'enforce', ...options });
  pool.on('retry', (retry) => app.log.warn(retry, 'a query runs again'));
  pool.on('breaker', (change) => app.log.warn(change, 'the circuit breaker changed'));
  pool.on('error', (error) => app.log.warn(error, 'an idle connection was lost'));
  await pool.query(SCHEMA);
  app.decorate('db', pool);
  app.addHook('onClose', () => pool.end());
}
// Not only for the plugin's own routes.
database[Symbol.for('skip-override')] = true;

async function articles(app) {
  app.get('/articles/:id', { schema: { params: id } }, async (request, reply) => {
    // It only reads, so it may run again when its connection is lost under it.
    const values = [request.params.id];
    const { rows } = await app.db.query({
      text: 'SELECT * FROM articles WHERE id = $1',
      values,
      readOnly: true,
    });
    return rows[0] ?? reply.code(404).send({ error: 'no such article' });
  });

  app.post('/articles', { schema: { body: newArticle } }, async (request, reply) => {
    const { section, title } = request.body;
    const { rows } = await app.db.query('INSERT INTO articles (section, title) VALUES ($1, $2) RETURNING *', [
      section,
      title,
    ]);
    return reply.code(201).send(rows[0]);
  });

  // Two statements that belong together. Both run again when the server had to undo them.
  app.post('/articles/:id/comments', { schema: { params: id, body: newComment } }, async (request, reply) => {
    const comment = await app.db.transaction(async (client) => {
      const values = [request.params.id, request.body.body];
      const { rows } = await client.query(
        'INSERT INTO comments (article, body) VALUES ($1, $2) RETURNING *',
        values,
      );
      await client.query('UPDATE articles SET comments = comments + 1 WHERE id = $1', [request.params.id]);
      return rows[0];
    });
    return reply.code(201).send(comment);
  });
}

function onError(error, request, reply) {
  if ([AcquireTimeoutError, CircuitOpenError, PoolFullError].some((kind) => error instanceof kind)) {
    const wait = error.nextProbe ? Math.max(1, Math.ceil((error.nextProbe - Date.now()) / 1000)) : 1;
    return reply.code(503).header('Retry-After', wait).send({ error: 'the database is busy' });
  }
  if (error.code === '23503') return reply.code(404).send({ error: 'no such article' });
  // Fastify's own refusals: what does not fit a schema, or is no JSON.
  if (error.statusCode < 500) return reply.code(error.statusCode).send({ error: error.message });
  request.log.error(error);
  return reply.code(500).send({ error: 'internal error' });
}

const app = Fastify({ logger: { level: 'warn' } });
app.setErrorHandler(onError);
app.register(database, { max: 20, acquireTimeoutMillis: 2000 });
app.register(articles);

console.log(
  `listening on ${await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })}`,
);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close());
