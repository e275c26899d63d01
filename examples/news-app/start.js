// The whole demonstration in one process: a database (the one the environment
// names, else an embedded one), the schema, the seed, the server, a small load
// and its status line. Ctrl-C takes everything down in the opposite order.

'use strict';

const { fromEnvironment, listen } = require('./address');

const STOP_LIMIT = 15000;

// A server named by DATABASE_URL is handed on as DB_* and PG* variables, which
// every driver reads; what DB_* says already is left alone.
function adoptUrl(env) {
  if (!URL.canParse(env.DATABASE_URL)) throw new Error('DATABASE_URL is not a valid URL');
  const url = new URL(env.DATABASE_URL);
  const given = {
    DB_HOST: url.searchParams.get('host') || decodeURIComponent(url.hostname),
    DB_PORT: url.port,
    DB_NAME: decodeURIComponent(url.pathname.slice(1)),
    DB_USER: decodeURIComponent(url.username),
    DB_PASSWORD: decodeURIComponent(url.password),
    PGSSLMODE: url.searchParams.get('sslmode'),
  };
  for (const [name, value] of Object.entries(given)) {
    if (value && !env[name]) env[name] = value;
  }
}

const namesServer = (env) => Boolean(env.DB_HOST || env.PGHOST || env.PGPORT || env.DB_PORT);

async function findDatabase(env) {
  if (env.DATABASE_URL) adoptUrl(env);
  if (namesServer(env)) {
    console.log(`database: ${env.DB_HOST || env.PGHOST || 'localhost'}, as the environment says`);
    return null;
  }
  console.log('database: starting an embedded PostgreSQL');
  const { startPostgres } = require('../../__test__/support/postgres.js');
  const server = await startPostgres();
  Object.assign(env, {
    DB_HOST: server.host,
    DB_PORT: String(server.port),
    DB_NAME: server.database,
    DB_USER: server.user,
    DB_PASSWORD: server.password,
  });
  return server;
}

// Steps of the way up, undone in the opposite order on the way down. A step
// that is under way when the signal comes is finished first, then undone.
class Stack {
  #undo = [];
  stopping = false;

  push(undo) {
    this.#undo.push(undo);
  }

  async unwind() {
    while (this.#undo.length > 0) {
      await this.#undo
        .pop()()
        .catch((err) => {
          console.error(err.message);
          process.exitCode = 1;
        });
    }
  }
}

async function rise(stack, env) {
  const wanted = fromEnvironment(env);
  const database = await findDatabase(env);
  if (database) stack.push(() => database.stop());
  if (stack.stopping) return;

  // Only now: the pools read the environment.
  const { pools, admin, articles } = require('./db-utils');
  const { createServer, stop } = require('./server');
  stack.push(() => pools.endAll());

  const applied = await admin.migrate();
  console.log(applied.length ? `schema: ${applied.length} migrations applied` : 'schema: up to date');
  if (stack.stopping) return;

  const started = Date.now();
  const seeded = await require('./seed').seed();
  console.log(
    seeded ? `seed: done in ${((Date.now() - started) / 1000).toFixed(1)} s` : 'seed: there already',
  );
  if (stack.stopping) return;

  const server = createServer();
  const { port, url } = await listen(server, wanted);
  stack.push(() => stop(server));
  console.log(`\nopen ${url}   (also /search, /reports, /health)   Ctrl-C stops`);
  // Only a driver that watches itself has something to show.
  const { monitorServer } = require('./driver');
  if (monitorServer) {
    const monitor = await monitorServer({ port: Number(env.NEWS_MONITOR_PORT) || 0 });
    stack.push(() => monitor.close());
    console.log(`and  ${monitor.url}   the pools, live (also /metrics, /health)\n`);
  }

  const { total } = await articles.list({ pageSize: 1 });
  const { Load } = require('./load');
  const { startStatusLine } = require('./status-line');
  const load = env.NEWS_LOAD === 'off' ? null : new Load({ host: wanted.host, port, articles: total });
  if (load) {
    load.start();
    stack.push(() => load.stop());
  }
  const stopLine = startStatusLine(load && (() => load.take()));
  stack.push(async () => stopLine());
}

async function main() {
  const stack = new Stack();
  let rising;
  const down = async (signal) => {
    if (stack.stopping) return;
    stack.stopping = true;
    if (signal) console.log(`\n${signal}: stopping`);
    const limit = setTimeout(() => {
      console.error('stopping took too long');
      process.exit(1);
    }, STOP_LIMIT);
    await rising.catch(() => undefined);
    await stack.unwind();
    clearTimeout(limit);
    if (signal) console.log('stopped');
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => down(signal));
  rising = rise(stack, process.env);
  try {
    await rising;
  } catch (err) {
    if (!stack.stopping) console.error(`cannot start: ${err.message || err.code}`);
    process.exitCode = 1;
    await down();
  }
}

main();
