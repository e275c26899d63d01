'use strict';

// A monkey at the keyboard of an application: it makes a pool with odd options, calls everything there is
// with odd values, from within its own callbacks too, changes its mind half way, while the network is cut,
// held up and slowed. After each round every call must have settled, the pool must serve and count
// right, and end. What it does depends on its seed alone.

const Cursor = require('pg-cursor');
const { from, to } = require('pg-copy-streams');
const { setTimeout: pause } = require('node:timers/promises');
const ours = require('../..');
const { Proxy: FaultProxy } = require('../support/proxy');
const { until } = require('../support/until');
const { Chance } = require('./chance');
const { outcome } = require('./trial');

// What a round may take at most; far more than it takes, as nothing is measured here.
const BOUND = 40_000;
const CALLS = 12;

class Monkey {
  /**
   * @param target of the server: host and port, and options to connect with
   */
  constructor(seed, target) {
    this.chance = new Chance(seed, 'monkey');
    this.target = target;
    this.name = `monkey ${seed}`;
    this.calls = 0;
    this.hung = [];
    this.rounds = 0;
  }

  /** Plays rounds until `isOver()`. */
  async play(isOver) {
    this.proxy = await FaultProxy.start(this.target);
    try {
      while (!isOver()) await this.round();
    } finally {
      this.proxy.cut();
      await this.proxy.refuse();
    }
  }

  async round() {
    this.rounds++;
    const { chance } = this;
    const pool = new ours.Pool(this.options());
    pool.on('error', () => {});
    if (chance.isTrue(0.3)) pool.on('connect', (client) => client.query('SELECT 1').catch(() => {}));
    if (chance.isTrue(0.2)) pool.on('acquire', () => {});
    // Its own query is given back, too.
    let more = chance.between(0, 5);
    if (more > 3) pool.on('release', () => more-- > 0 && pool.query('SELECT 3').catch(() => {}));
    const calls = [];
    for (let i = 0; i < CALLS; i++) {
      if (chance.isTrue(0.25)) this.disturb();
      calls.push(this.call(pool));
      if (chance.isTrue(0.3)) await pause(chance.between(0, 5));
    }
    const isEnding = chance.isTrue(0.15);
    if (isEnding) calls.push(this.settled('pool.end', pool.end()));
    await Promise.all(calls);
    await this.calm();
    if (!isEnding) await this.check(pool);
  }

  options() {
    const { chance, target, proxy } = this;
    return {
      ...target,
      host: proxy.host,
      port: proxy.port,
      application_name: this.name,
      max: chance.pick([1, 2, '3', 5]),
      query_timeout: chance.pick([2000, '1500']),
      connectionTimeoutMillis: chance.pick([2000, 5000]),
      idleTimeoutMillis: chance.pick([0, 1, 10_000]),
      maxUses: chance.pick([undefined, 1, 2.5, Infinity]),
      statementCacheSize: chance.pick([undefined, 0, 1, 2 ** 53]),
      retryAttempts: chance.pick([undefined, 1, 2.5]),
      retryDelay: 1,
      allowExitOnIdle: chance.isTrue(0.2),
      breaker: chance.pick([undefined, 'metrics']),
      onConnect: chance.pick([undefined, undefined, async () => {}]),
      password: chance.pick([target.password, () => target.password, async () => target.password]),
    };
  }

  disturb() {
    const { chance, proxy } = this;
    const what = chance.pick(['cut', 'fin', 'one', 'stall', 'delay']);
    if (what === 'cut') proxy.cut('reset');
    else if (what === 'fin') proxy.cut('fin');
    else if (what === 'one') [...proxy.links].at(0)?.cut('reset');
    else if (what === 'delay') proxy.delay(chance.between(0, 20));
    else {
      const direction = chance.pick(['toServer', 'toClient']);
      proxy.stall(direction);
      setTimeout(() => proxy.resume(direction), chance.between(1, 100));
    }
  }

  async calm() {
    await pause(100);
    for (const direction of ['toServer', 'toClient']) this.proxy.resume(direction);
    this.proxy.delay(0);
  }

  async check(pool) {
    // Connections that were cut are noticed by the query that is sent on them.
    await until(
      () =>
        outcome(pool.query({ text: 'SELECT 1 AS one', retryAttempts: 5, idempotent: true }), BOUND).then(
          ({ value }) => value,
        ),
      {
        timeout: BOUND,
        what: 'the pool to serve again',
      },
    );
    await until(() => pool.totalCount === pool.idleCount && pool.waitingCount === 0, {
      what: 'nothing to be lent any more',
    });
    await this.settled('pool.end', pool.end());
    if (pool.totalCount !== 0) throw new Error(`${pool.totalCount} connections are left after the end`);
  }

  async settled(what, promise) {
    this.calls++;
    const end = await outcome(Promise.resolve(promise), BOUND);
    if (end === 'hung') this.hung.push(what);
    return end;
  }

  call(pool) {
    const name = this.chance.pick(Object.keys(CALLED));
    return this.settled(name, (async () => CALLED[name](pool, this.chance))());
  }
}

const odd = (chance) =>
  chance.pick([
    null,
    undefined,
    0,
    -0,
    NaN,
    1n,
    '',
    'ä\ud800',
    'a\0b',
    Symbol('s'),
    [],
    [[1, [null]], ['"']],
    {},
    new Date(NaN),
    Buffer.alloc(3),
    new Float64Array(2),
    new DataView(new ArrayBuffer(3)),
    new Uint8Array(new SharedArrayBuffer(3)),
    new Proxy([1], {}),
    Object.freeze({ a: 1 }),
    { toPostgres: () => 'x' },
    { toPostgres: () => ({ toPostgres: () => null }) },
    {
      get toPostgres() {
        throw new Error('no');
      },
    },
    'x'.repeat(chance.between(0, 100_000)),
  ]);

const oddConfig = (chance) => ({
  text: chance.pick([
    'SELECT $1::text',
    'SELECT pg_sleep(0.01)',
    'SELEC',
    '',
    'SELECT 1; SELECT 2',
    'SELECT generate_series(1, 3000) AS __proto__',
    'COPY (SELECT 1) TO STDOUT',
    'COPY pg_class FROM STDIN',
    5,
    null,
    Symbol('text'),
  ]),
  values: chance.pick([
    undefined,
    null,
    [],
    [odd(chance)],
    [odd(chance), odd(chance)],
    {},
    new Proxy([odd(chance)], {}),
  ]),
  name: chance.pick([undefined, '', 'n', 'm', 'x'.repeat(60), 5]),
  rowMode: chance.pick([undefined, 'array', 'object']),
  rows: chance.pick([undefined, 0, 1, 2.5, -1, '3']),
  binary: chance.isTrue(0.1),
  queryMode: chance.pick([undefined, 'extended']),
  query_timeout: chance.pick([undefined, 1, 0.5, 1000, NaN, -1]),
  maxResultBytes: chance.pick([undefined, undefined, 1, 1000, NaN, -5]),
  deadline: chance.pick([undefined, 0, 1, 500, 2.5, NaN, Infinity, -1]),
  retryAttempts: chance.pick([undefined, 0, 1.5, NaN, '2']),
  retryOn: chance.pick([undefined, [], ['42601'], 'all', [5]]),
  idempotent: chance.isTrue(0.2),
  signal: chance.pick([undefined, null, 5, AbortSignal.abort(0), AbortSignal.timeout(chance.between(0, 30))]),
  types: chance.pick([
    undefined,
    undefined,
    { getTypeParser: () => (text) => text },
    {
      getTypeParser: () => () => {
        throw null;
      },
    },
    { getTypeParser: () => 5 },
  ]),
});

const withClient = async (pool, chance, work) => {
  const client = await pool.connect(
    chance.isTrue(0.2) ? { signal: AbortSignal.timeout(chance.between(0, 50)) } : undefined,
  );
  client.on('error', () => {});
  try {
    return await work(client);
  } finally {
    client.release(chance.pick([undefined, true, false, new Error('spoilt')]));
  }
};

const CALLED = {
  query: (pool, chance) => pool.query(oddConfig(chance)),
  'query with values': (pool, chance) => pool.query('SELECT $1::text', [odd(chance)]),
  'query by callback': (pool, chance) =>
    new Promise((resolve) => pool.query(oddConfig(chance), () => resolve())),
  'many at once': (pool, chance) =>
    Promise.allSettled(
      Array.from({ length: 20 }, () => pool.query('SELECT $1::int', [chance.between(0, 9)])),
    ),
  checkout: (pool, chance) => withClient(pool, chance, (client) => client.query(oddConfig(chance))),
  'checkout with several': (pool, chance) =>
    withClient(pool, chance, (client) =>
      Promise.allSettled([1, 2, 3].map(async () => client.query(oddConfig(chance)))),
    ),
  'checkout that ends its client': (pool, chance) =>
    withClient(pool, chance, async (client) => {
      const answer = client.query('SELECT pg_sleep(0.02)').catch(() => {});
      await client.end();
      await answer;
    }),
  'checkout released while it asks': async (pool) => {
    const client = await pool.connect();
    client.on('error', () => {});
    const answer = client.query('SELECT pg_sleep(0.01)');
    client.release();
    return answer;
  },
  'checkout released twice': async (pool) => {
    const client = await pool.connect();
    client.release();
    client.release();
  },
  'abandoned stream': async (pool, chance) => {
    let left = chance.between(0, 50);
    for await (const row of pool.stream('SELECT generate_series(1, 500) AS n', [], {
      batchSize: chance.between(1, 60),
    })) {
      if (left-- <= 0) return row;
    }
    return undefined;
  },
  'odd stream': (pool, chance) => pool.stream(oddConfig(chance)).next(),
  transaction: (pool, chance) =>
    pool.transaction(
      async (client) => {
        await client.query(oddConfig(chance)).catch(() => {});
        if (chance.isTrue(0.5)) throw chance.pick([undefined, null, 0, new Error('mine')]);
      },
      {
        deadline: chance.pick([undefined, 0, 1, 2000]),
        retries: chance.pick([undefined, 0, 1]),
        retryDelay: 1,
      },
    ),
  cursor: (pool, chance) =>
    withClient(pool, chance, async (client) => {
      const cursor = client.query(new Cursor('SELECT generate_series(1, 100) AS n'));
      await cursor.read(chance.between(1, 200));
      if (chance.isTrue(0.5)) await cursor.close();
    }),
  'cursor released early': async (pool, chance) => {
    const reads = await withClient(pool, chance, async (client) => {
      const first = chance.isTrue(0.3) ? [client.query('SELECT pg_sleep(0.01)')] : [];
      const cursor = client.query(
        new Cursor(chance.pick(['SELECT generate_series(1, 100)', 'SELECT pg_sleep(5)'])),
      );
      return Promise.allSettled.bind(Promise, chance.isTrue(0.7) ? [...first, cursor.read(10)] : first);
    });
    return reads();
  },
  'copy released early': (pool, chance) =>
    withClient(pool, chance, (client) => {
      const copy = client.query(
        chance.isTrue(0.5)
          ? to('COPY (SELECT generate_series(1, 1000)) TO STDOUT')
          : from('COPY pg_class FROM STDIN'),
      );
      copy.on('error', () => {});
      if (chance.isTrue(0.5) && copy.writable) copy.write('half a row');
    }),
  'a query from within a parser': (pool) => {
    const inner = [];
    const types = {
      getTypeParser: () => (text) => {
        inner.push(pool.query('SELECT 2').catch(() => {}));
        return text;
      },
    };
    return pool.query({ text: 'SELECT generate_series(1, 3)', types }).finally(() => Promise.all(inner));
  },
  'a query from within toPostgres': (pool) => {
    let inner;
    const value = {
      toPostgres: () => ((inner = pool.query('SELECT $1::text', ['inner']).catch(() => {})), 'outer'),
    };
    return pool.query('SELECT $1::text', [value]).finally(() => inner);
  },
  'an abort that asks again': (pool, chance) => {
    const controller = new AbortController();
    let inner;
    controller.signal.addEventListener('abort', () => (inner = pool.query('SELECT 4').catch(() => {})));
    setTimeout(() => controller.abort(chance.pick([undefined, null, 'enough'])), chance.between(0, 20));
    return pool.query({ text: 'SELECT pg_sleep(5)', signal: controller.signal }).finally(() => inner);
  },
};

module.exports = { CALLED, Monkey };
