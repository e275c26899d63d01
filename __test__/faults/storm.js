'use strict';

// A storm: workers write, read and run transactions through pools, plain and with TLS, with retry and
// without, while the weather does to connections and server what bad days do. Afterwards the ledger is compared with
// the server, and everything that was opened has to be closed again. The same seed gives the same storm,
// as far as decisions go; `ledger.test.js` runs a short one, `npm run soak` a long one.

const v8 = require('node:v8');
const vm = require('node:vm');
const { setTimeout: pause } = require('node:timers/promises');
const { startPostgres } = require('../support/postgres');
const { Proxy } = require('../support/proxy');
const { until } = require('../support/until');
const { Chance } = require('./chance');
const { Ledger } = require('./ledger');
const { blow } = require('./weather');
const { sockets, told } = require('./trial');

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc');

const WORKERS = 12;
const POOL = {
  max: 4,
  connectionTimeoutMillis: 2000,
  query_timeout: 3000,
  idleTimeoutMillis: 1000,
  application_name: 'storm',
};
// Waiting, connecting and running are bounded by the pool's own limits; this is their sum with much room.
const PATIENCE = 120_000;
const LONGEST_RECOVERY = 120_000;

// With retry: the pool answers for what runs again.
const PERSISTENT = { ...POOL, retryAttempts: 4, retryDelay: 50, deadline: 10_000 };

// As a tier: it fills itself, waits for a server that is away, replaces its connections, and has a breaker.
const TIER = {
  ...PERSISTENT,
  enhanced: true,
  failFast: false,
  min: 2,
  acquireTimeoutMillis: 8000,
  maxLifetimeSeconds: 15,
  keepAlive: true,
  tcpUserTimeoutMillis: 20_000,
  drainTimeoutMillis: 10_000,
  breaker: { mode: 'enforce', failedConnects: 2, failingMillis: 500 },
};

const WORK = {
  insert: 40,
  transaction: 15,
  whole: 15,
  rollback: 5,
  echo: 25,
  series: 8,
  mistake: 5,
  callback: 5,
};

class Storm {
  #ledger = new Ledger();
  #isOver = false;
  #questions = 0;
  failures = {};
  told = {};

  /**
   * @param {{ Pool: Function, seed: number, seconds: number, every?: number, least?: object, tell?: (line: string) => void }} options
   *   `every`: milliseconds between faults on average; `least`: what the ledger has to count before it is over
   */
  constructor({ Pool, seed, seconds, every = 2000, least = {}, tell }) {
    Object.assign(this, { Pool, seed, seconds, every, least, tell });
  }

  /** What the ledger holds so far. */
  progress() {
    return this.#ledger.counts();
  }

  async run() {
    const server = await startPostgres({ settings: { max_connections: 40, restart_after_crash: 'on' } });
    const plain = await Proxy.start({ host: server.host, port: server.port });
    const secure = await Proxy.start({ host: server.host, port: server.port });
    const sky = { server, plain, secure, proxies: [plain, secure] };
    const uncaught = [];
    const note = (error) => uncaught.push(told(error));
    process.on('unhandledRejection', note);
    try {
      await server.query(Ledger.create);
      const { user, password, database, host } = server;
      const common = { user, password, database, host };
      const before = { sockets: sockets() };
      const pools = [POOL, PERSISTENT, TIER].flatMap((options) => [
        new this.Pool({ ...common, ...options, port: plain.port }),
        new this.Pool({ ...common, ...options, port: secure.port, ssl: { ca: server.ca } }),
      ]);
      for (const pool of pools) pool.on('error', (error) => this.#count(this.told, error));
      const report = await this.#rage(sky, pools);
      report.uncaught = uncaught;
      report.afterwards = await this.#settle(sky, pools, before);
      report.audit = await this.#ledger.audit((sql) => server.query(sql));
      report.questions = this.#questions;
      report.failures = this.failures;
      report.told = this.told;
      return report;
    } finally {
      process.removeListener('unhandledRejection', note);
      await Promise.all([plain.stop(), secure.stop()]);
      await server.stop('immediate');
    }
  }

  async #rage(sky, pools) {
    const end = Date.now() + this.seconds * 1000;
    const hasLeast = () =>
      Object.entries(this.progress()).every(([state, count]) => count >= (this.least[state] ?? 0));
    const isOver = () => this.#isOver || (Date.now() >= end && hasLeast());
    const memory = [];
    const sampling = setInterval(() => memory.push(residentBytes()), Math.max(1000, this.seconds * 20));
    const workers = Array.from({ length: WORKERS }, (_, number) => this.#work(number, pools, isOver));
    try {
      const faults = await blow(sky, new Chance(this.seed, 'weather'), {
        every: this.every,
        isOver,
        tell: this.tell,
      });
      for (const proxy of sky.proxies) {
        proxy.disarm();
        proxy.delay(0);
        proxy.resume();
      }
      await Promise.all(workers);
      return { faults, memory };
    } finally {
      this.#isOver = true;
      clearInterval(sampling);
    }
  }

  async #settle({ server }, pools, before) {
    const answered = [];
    for (const pool of pools) {
      await until(
        () =>
          pool.query('SELECT 1').then(
            () => true,
            () => false,
          ),
        { timeout: LONGEST_RECOVERY, what: 'the pool to work again' },
      );
      answered.push(
        (await Promise.all(Array.from({ length: 20 }, () => pool.query('SELECT 1 AS one')))).length,
      );
    }
    const quiet = (pool) =>
      pool.totalCount === pool.idleCount && pool.waitingCount === 0 && pool.totalCount <= POOL.max;
    await until(() => pools.every(quiet), { timeout: LONGEST_RECOVERY, what: 'the pools to be quiet' });
    await this.#inTime('end', Promise.all(pools.map((pool) => pool.end())));
    await until(() => sockets() <= before.sockets, {
      timeout: LONGEST_RECOVERY,
      what: `${before.sockets} sockets, not ${sockets()}`,
    });
    const backends = "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'storm'";
    await until(async () => (await server.query(backends)).rows[0].count === 0, {
      timeout: LONGEST_RECOVERY,
      what: 'the backends to end',
    });
    return { answered, counts: pools.map((pool) => [pool.totalCount, pool.idleCount, pool.waitingCount]) };
  }

  async #work(number, pools, isOver) {
    const chance = new Chance(this.seed, `worker ${number}`);
    for (let turn = 0; !isOver(); turn++) {
      this.#questions += 1;
      const pool = chance.pick(pools);
      const key = `${number}.${turn}`;
      await this.#inTime(key, this[chance.weighted(WORK)](pool, key, chance));
      if (chance.isTrue(0.3)) await pause(chance.between(1, 20));
    }
  }

  /** Waits for `promise`, and writes down that it hung when it takes too long. */
  async #inTime(key, promise) {
    const limit = new AbortController();
    const late = pause(PATIENCE, 'late', { signal: limit.signal, ref: false }).catch(() => {});
    if ((await Promise.race([promise, late])) === 'late') {
      this.#ledger.hung.push(key);
      this.#isOver = true;
    }
    limit.abort();
  }

  #count(counts, error) {
    const name = error.code ?? error.message;
    counts[name] = (counts[name] ?? 0) + 1;
  }

  async insert(pool, key) {
    this.#ledger.begin([key]);
    try {
      const { rowCount } = await pool.query(Ledger.insert, [key]);
      if (rowCount !== 1) this.#ledger.wrong.push(`${key}: ${rowCount} rows inserted`);
      this.#ledger.settle([key], 'acknowledged');
    } catch (error) {
      this.#count(this.failures, error);
      this.#ledger.settle([key], 'unknown');
    }
  }

  async callback(pool, key) {
    this.#ledger.begin([key]);
    let calls = 0;
    const error = await new Promise((resolve) => {
      pool.query(Ledger.insert, [key], (failure) => {
        calls += 1;
        resolve(failure);
      });
    });
    if (calls !== 1) this.#ledger.wrong.push(`${key}: called back ${calls} times`);
    this.#ledger.settle([key], error ? 'unknown' : 'acknowledged');
  }

  transaction(pool, key, chance) {
    return this.#inTransaction(pool, key, chance, 'COMMIT');
  }

  /** A transaction handed over as a whole: it may run again, and says what it cannot know. */
  async whole(pool, key, chance) {
    if (!pool.transaction) return;
    const keys = [key, `${key}+`];
    this.#ledger.begin(keys);
    const failure = new Error('the work itself failed');
    const fails = chance.isTrue(0.1);
    try {
      await pool.transaction(async (client) => {
        for (const one of keys) await client.query(Ledger.insert, [one]);
        if (fails) throw failure;
      });
      if (fails) this.#ledger.wrong.push(`${key}: a transaction whose work failed was fulfilled`);
      this.#ledger.settle(keys, 'acknowledged');
    } catch (error) {
      this.#count(this.failures, error);
      this.#ledger.settle(keys, error.code === 'COMMIT_OUTCOME_UNKNOWN' ? 'unknown' : 'aborted');
    }
  }

  rollback(pool, key, chance) {
    return this.#inTransaction(pool, key, chance, 'ROLLBACK');
  }

  async #inTransaction(pool, key, chance, ending) {
    const keys = [key, `${key}+`];
    this.#ledger.begin(keys);
    let client;
    try {
      client = await pool.connect();
    } catch (error) {
      this.#count(this.failures, error);
      this.#ledger.settle(keys, 'aborted');
      return;
    }
    const lost = (error) => this.#count(this.told, error);
    client.on('error', lost);
    let isSent = false;
    let failure;
    try {
      await client.query('BEGIN');
      await client.query(Ledger.insert, [keys[0]]);
      if (chance.isTrue(0.3)) await pause(chance.between(1, 50));
      await client.query(Ledger.insert, [keys[1]]);
      isSent = ending === 'COMMIT';
      const { command } = await client.query(ending);
      if (command !== ending) this.#ledger.wrong.push(`${key}: ${ending} was answered by ${command}`);
      this.#ledger.settle(keys, isSent ? 'acknowledged' : 'aborted');
    } catch (error) {
      failure = error;
      this.#count(this.failures, error);
      this.#ledger.settle(keys, isSent ? 'unknown' : 'aborted');
    }
    client.removeListener('error', lost);
    client.release(failure);
  }

  /** The answer has to be the answer to this question. */
  async echo(pool, key, chance) {
    const text = `${key} ${'x'.repeat(chance.between(0, 300))}`;
    try {
      const named = chance.isTrue(0.2) ? { name: 'echo' } : {};
      const { rows } = await pool.query({
        ...named,
        text: 'SELECT $1::text AS text, $2::int AS number',
        values: [text, text.length],
        idempotent: chance.isTrue(0.5),
      });
      if (rows.length !== 1 || rows[0].text !== text || rows[0].number !== text.length)
        this.#ledger.wrong.push(`${key}: a foreign answer`);
    } catch (error) {
      this.#count(this.failures, error);
    }
  }

  async series(pool, key, chance) {
    const count = chance.between(1, 3000);
    try {
      const { rows } = await pool.query('SELECT n, $1 || n AS text FROM generate_series(1, $2::int) AS n', [
        `${key}:`,
        count,
      ]);
      const isRight =
        rows.length === count && rows.every((row, i) => row.n === i + 1 && row.text === `${key}:${i + 1}`);
      if (!isRight) this.#ledger.wrong.push(`${key}: ${rows.length} rows of ${count}, or foreign ones`);
    } catch (error) {
      this.#count(this.failures, error);
    }
  }

  async mistake(pool, key, chance) {
    try {
      await pool.query('SELECT 1 / $1::int', [0]);
      this.#ledger.wrong.push(`${key}: a division by zero succeeded`);
    } catch (error) {
      this.#count(this.failures, error);
    }
    if (chance.isTrue(0.2)) await this.echo(pool, key, chance);
  }
}

/** Garbage that is not collected yet, of other test files too, is no growth. */
function residentBytes() {
  collectGarbage();
  return process.memoryUsage().rss;
}

/** Growth of the resident set from the second fifth of the samples to the last, in bytes. */
function growth(memory) {
  const fifth = Math.floor(memory.length / 5);
  const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
  return median(memory.slice(-fifth)) - median(memory.slice(fifth, 2 * fifth));
}

/** What is wrong with a report; empty when nothing is. */
function complaints({ audit, uncaught, memory }, allowedGrowth) {
  const found = {};
  for (const name of ['lost', 'doubled', 'risen', 'strange', 'torn', 'wrong', 'hung']) {
    if (audit[name].length > 0) found[name] = audit[name];
  }
  if (audit.counts.pending > 0) found.pending = audit.counts.pending;
  if (uncaught.length > 0) found.uncaught = uncaught;
  if (growth(memory) > allowedGrowth) found.growth = growth(memory);
  return found;
}

module.exports = { Storm, complaints, growth };
