// The whole demonstration: a database (the one the environment names, else an
// embedded one), the schema, the seed, the newspaper twice (on pgpool-rs and on
// plain pg), each in a process of its own under the same small load, and the
// panel of troubles. Ctrl-C takes everything down in the opposite order.

'use strict';

const { fromEnvironment, listen } = require('./address');

const STOP_LIMIT = 30000;

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

// One line for each address, the live page first.
function invitation(ours, plain, panel) {
  const lines = [
    [ours.live, 'the live page: what each pool does at this moment, and why'],
    [panel, 'the panel: cause trouble, and see both applications side by side'],
    [ours.url, 'the newspaper on pgpool-rs (also /search, /reports, /health)'],
    [plain.url, 'the same newspaper on plain pg'],
  ];
  const width = Math.max(...lines.map(([url]) => url.length));
  return lines.map(([url, text]) => `  ${url.padEnd(width)}  ${text}`).join('\n');
}

async function listenFor(stack, server, wanted) {
  const { url } = await listen(server, wanted);
  stack.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return url;
}

async function prepare() {
  const { pools, admin, articles } = require('./db-utils');
  try {
    const applied = await admin.migrate();
    console.log(applied.length ? `schema: ${applied.length} migrations applied` : 'schema: up to date');
    const started = Date.now();
    const seeder = require('./seed');
    const seeded = await seeder.seed(seeder.fromEnvironment(process.env));
    console.log(
      seeded ? `seed: done in ${((Date.now() - started) / 1000).toFixed(1)} s` : 'seed: there already',
    );
    return (await articles.list({ pageSize: 1 })).total;
  } finally {
    await pools.endAll();
  }
}

// Sizes that one machine can show at work; what the environment says goes first.
const SIZES = { DB_HIGH_PRIORITY_MAX: '10', DB_LOW_PRIORITY_MAX: '4', DB_ADMIN_MAX: '2' };
const PORTS = { monitor: '9187', panel: 3001, plain: '3002' };

function applicationsOf(env, { port, host }, panel, say) {
  const { Application } = require('./demo/application');
  const all = [env.DB_HIGH_PRIORITY_MAX, env.DB_LOW_PRIORITY_MAX, env.DB_ADMIN_MAX];
  const total = all.reduce((sum, size) => sum + Number(size), 0);
  const shared = { HOST: host, NEWS_PANEL: panel, NEWS_UPKEEP: 'on' };
  const ours = new Application({
    name: 'pgpool-rs',
    title: `three tiers, ${all.join(' + ')} connections`,
    say,
    env: {
      ...shared,
      PORT: String(port),
      NEWS_DRIVER: 'pgpool-rs',
      NEWS_MONITOR_PORT: env.NEWS_MONITOR_PORT || PORTS.monitor,
      PGAPPNAME: 'news-app',
      DB_SLOW_QUERY: env.DB_SLOW_QUERY || '500',
      // The live page tells it, and the console stays readable.
      PGPOOL_LOG: env.PGPOOL_LOG || 'off',
    },
  });
  const plain = new Application({
    name: 'pg',
    title: `one pool, ${total} connections`,
    say,
    env: { ...shared, PORT: env.NEWS_PLAIN_PORT || PORTS.plain, NEWS_DRIVER: 'pg', NEWS_POOLS: '1' },
  });
  return [ours, plain];
}

async function rise(stack, env) {
  const wanted = fromEnvironment(env);
  const server = await findDatabase(env);
  if (server) stack.push(() => server.stop());
  for (const [name, size] of Object.entries(SIZES)) env[name] ||= size;
  if (stack.stopping) return;
  // Only now: the pools read the environment.
  const total = await prepare();
  if (stack.stopping) return;

  const { Troubles } = require('./demo/troubles');
  const { createPanel } = require('./demo/panel');
  const { startStatusLine } = require('./status-line');
  const demo = { applications: [], troubles: null };
  const panel = await listenFor(stack, createPanel(demo), {
    port: Number(env.NEWS_PANEL_PORT ?? PORTS.panel),
    host: '127.0.0.1',
  });
  let say = console.log;
  const [ours, plain] = applicationsOf(env, wanted, panel, (line) => say(line));
  stack.push(() => Promise.all([ours.stop(), plain.stop()]));
  await Promise.all([ours.start(), plain.start()]);
  if (stack.stopping) return;

  demo.applications.push(ours, plain);
  const pace = Number(env.NEWS_PACE) || 1;
  demo.troubles = new Troubles({ applications: demo.applications, server, database: databaseOf(env), pace });
  stack.push(() => demo.troubles.stop());
  console.log(`\n${invitation(ours, plain, panel)}\n\nCtrl-C stops everything.\n`);
  if (env.NEWS_LOAD === 'off') return;
  for (const application of demo.applications) application.startLoad(total);
  const line = startStatusLine(demo.applications);
  say = line.say;
  stack.push(async () => {
    say = () => {};
    line.stop();
  });
}

// How plain pg is told of the database that DB_* and PG* name.
function databaseOf(env) {
  return {
    host: env.DB_HOST || undefined,
    port: env.DB_PORT ? Number(env.DB_PORT) : undefined,
    database: env.DB_NAME || undefined,
    user: env.DB_USER || undefined,
    password: env.DB_PASSWORD || undefined,
    application_name: 'the panel',
  };
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
