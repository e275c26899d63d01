'use strict';

// Clients of a hostile server: several owners, each with a pool or a client of its own, that ask in every way there is
// and look at everything they are told. A mark of another owner is a leak; a call that does not settle hangs.

const Cursor = require('pg-cursor');
const { setTimeout: pause } = require('node:timers/promises');
const { inspect } = require('node:util');
const { isNativeError } = require('node:util/types');
const ours = require('../..');
const { Chance } = require('./chance');
const { HONEST, HONEST_ROWS, SHARE, marksIn, startHostileServer } = require('./hostile-server');
const { outcome } = require('./trial');

// What a call may take; far more than it does, for each is bounded by its own timeouts.
const BOUND = 40_000;
const CURSOR_BOUND = 1000;
const OWNERS = 12;

/** Everything that can be read off a value. */
function* leaves(value, seen = new Set()) {
  if (typeof value === 'string' || typeof value === 'number') yield value;
  else if (Buffer.isBuffer(value)) yield value.toString('latin1');
  else if (typeof value === 'object' && value !== null && !seen.has(value)) {
    seen.add(value);
    const keys = isNativeError(value) ? Object.getOwnPropertyNames(value) : Object.keys(value);
    for (const key of keys) {
      if (key === 'stack') continue;
      yield key;
      yield* leaves(value[key], seen);
    }
  }
}

class Owner {
  constructor(run, number) {
    this.run = run;
    this.number = number;
    this.chance = new Chance(run.seed, `owner ${number}`);
  }

  /** Looks for what is not its own. */
  look(what, told) {
    for (const leaf of leaves(told)) {
      const owners = typeof leaf === 'string' ? marksIn(leaf) : [Math.floor(leaf / SHARE)];
      if (owners.includes(this.number)) this.run.seen++;
      const foreign = owners.find((owner) => owner !== this.number && this.run.numbers.includes(owner));
      if (foreign !== undefined)
        this.run.leaks.push(`${this.number} was told of ${foreign} by ${what}: ${inspect(leaf)}`);
    }
  }

  async settled(what, call) {
    this.run.calls++;
    const promise = (async () => call())();
    const told = promise.then(
      (value) => this.look(what, value),
      (error) => this.look(what, error),
    );
    if ((await outcome(told, BOUND)) === 'hung') this.run.hung.push(what);
  }

  options() {
    const { chance, run, number } = this;
    return {
      host: run.server.host,
      port: run.server.port,
      user: String(number),
      database: 'd',
      password: 'p',
      query_timeout: 300,
      connectionTimeoutMillis: 3000,
      max: chance.pick([1, 2, 4]),
      drainTimeoutMillis: 100,
      pipeline: chance.isTrue(0.3),
      statementCacheSize: chance.pick([undefined, undefined, 0, 2]),
      retryAttempts: chance.pick([undefined, undefined, 2]),
      retryDelay: 1,
    };
  }

  config() {
    const { chance } = this;
    return {
      text: `SELECT ${chance.between(1, 4)}`,
      values: chance.pick([undefined, undefined, [], [1, 'two']]),
      rowMode: chance.pick([undefined, undefined, 'array']),
      binary: chance.isTrue(0.05),
      name: chance.pick([undefined, undefined, undefined, 'named']),
      idempotent: chance.isTrue(0.3),
      maxResultBytes: chance.pick([undefined, undefined, undefined, 500]),
      signal: chance.isTrue(0.05) ? AbortSignal.timeout(chance.between(0, 20)) : undefined,
    };
  }

  hear(emitter) {
    emitter.on('error', (error) => this.look('an error event', error));
    emitter.on('notice', (notice) => this.look('a notice', notice));
    emitter.on('notification', (message) => this.look('a notification', message));
  }

  async round() {
    const pool = new ours.Pool(this.options());
    pool.on('error', (error) => this.look('an error event of the pool', error));
    pool.on('connect', (client) => this.hear(client));
    const calls = Array.from({ length: 12 }, () => {
      const name = this.chance.pick(Object.keys(CALLS));
      return this.settled(name, () => CALLS[name](pool, this));
    });
    await Promise.all(calls);
    await this.settled('pool.end', () => pool.end());
  }

  async clientRound() {
    const client = new ours.Client(this.options());
    this.hear(client);
    await this.settled('client.connect', () => client.connect());
    const queries = Array.from({ length: 4 }, () =>
      this.settled('client.query', () => client.query(this.config())),
    );
    await Promise.all(queries);
    this.look('the session', [client.connection?.parameterStatus, client.processID]);
    await this.settled('client.end', () => client.end());
  }
}

/** One whose server is honest: it is answered as if nobody attacked, and nobody sees what it is told. */
async function victim(owner, isOver) {
  const client = new ours.Client({
    ...owner.options(),
    database: HONEST,
    query_timeout: 0,
    connectionTimeoutMillis: 0,
  });
  await client.connect();
  while (!isOver()) {
    await owner.settled('the query of the victim', async () => {
      const { rows } = await client.query('SELECT all');
      if (rows.length !== HONEST_ROWS) owner.run.leaks.push(`the victim got ${rows.length} rows`);
      return rows;
    });
    await pause(20);
  }
  await client.end();
}

const withClient = async (pool, work) => {
  const client = await pool.connect();
  try {
    return await work(client);
  } finally {
    client.release();
  }
};

const CALLS = {
  query: (pool, owner) => pool.query(owner.config()),
  'query again': (pool) => pool.query('SELECT $1', ['again']),
  'client of a pool': (pool, owner) =>
    withClient(pool, async (client) =>
      Promise.allSettled([client.query(owner.config()), client.query(owner.config())]),
    ),
  // pg-cursor itself forgets its reader where the connection is lost behind CommandComplete, so nobody waits for it
  // longer.
  cursor: (pool, owner) =>
    withClient(pool, async (client) => {
      const cursor = client.query(new Cursor('SELECT 5', []));
      const read = cursor.read(owner.chance.between(1, 50));
      return Promise.race([read, pause(CURSOR_BOUND)]);
    }),
  stream: async (pool, owner) => {
    const rows = [];
    for await (const row of pool.stream(owner.config())) if (rows.push(row) > 30) break;
    return rows;
  },
  transaction: (pool, owner) =>
    pool.transaction((client) => client.query(owner.config()), { retries: 1, retryDelay: 1 }),
};

/**
 * Attacks for `seconds`.
 * @returns what was found: `leaks` and `hung`, and how much was done; `seen`: marks of their own that owners were shown
 */
async function underAttack(seed, seconds) {
  const { server, counts } = await startHostileServer(seed);
  const chance = new Chance(seed, 'owners');
  const numbers = Array.from({ length: OWNERS }, () => chance.between(1_000_000, 9_999_999));
  const run = { seed, server, numbers, leaks: [], hung: [], calls: 0, seen: 0 };
  const end = Date.now() + seconds * 1000;
  const isOver = () => Date.now() >= end || run.hung.length > 0;
  const [first, ...owners] = numbers.map((number) => new Owner(run, number));
  const attacks = owners.map(async (owner) => {
    while (!isOver()) {
      if (owner.chance.isTrue(0.7)) await owner.clientRound();
      else await owner.round();
    }
  });
  await Promise.all([victim(first, isOver), ...attacks]);
  await server.stop();
  const { leaks, hung, calls, seen } = run;
  return { seed, seconds, calls, seen, answers: counts.answers, leaks: leaks.slice(0, 20), hung };
}

module.exports = { underAttack };
