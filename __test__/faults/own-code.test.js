'use strict';

// The application's own code runs inside the pool: listeners, `verify`, `log`, classes of clients, type
// parsers, password functions, signals. Whatever it throws, whatever it says twice, every promise
// settles, nothing stays lent, and the pool serves the next query.

const net = require('node:net');
const ours = require('../..');
const { config } = require('../support/server');
const { killAll, start } = require('../lifecycle/child');
const { until } = require('../support/until');
const { outcome, socketsBackTo, sockets, watchUncaught } = require('./trial');

let open;
let watched;
let pools;
beforeEach(() => {
  open = sockets();
  watched = watchUncaught();
  pools = [];
});
afterEach(async () => {
  for (const pool of pools) expect(await outcome(pool.end())).toEqual({ value: undefined });
  watched.stop();
  expect(watched.seen).toEqual([]);
  await socketsBackTo(open);
});

const poolOf = (options) => {
  const pool = new ours.Pool(config({ max: 1, ...options }));
  pools.push(pool);
  return pool;
};
const serves = async (pool) => {
  expect((await outcome(pool.query('SELECT 1 AS one'))).value?.rows).toEqual([{ one: 1 }]);
  expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
};

const thrower = () => {
  throw new Error('mine');
};

test('what a listener throws on `release` reaches who releases, and the connection is given back', async () => {
  const pool = poolOf();
  const client = await pool.connect();
  pool.once('release', thrower);
  expect(() => client.release()).toThrow('mine');
  await serves(pool);
});

// In processes of their own: jest takes every uncaught exception for a failure.
describe('what a listener throws surfaces as uncaught', () => {
  afterAll(killAll);

  const ROW = [{ one: 1 }];
  test.each([
    [
      'on `acquire`, and the checkout goes on',
      `pool.once('acquire', thrower);
       const client = await pool.connect();
       say((await client.query('SELECT 1 AS one')).rows);
       client.release();`,
    ],
    [
      'on `release`, and the query is answered',
      `pool.once('release', thrower); say((await pool.query('SELECT 1 AS one')).rows);`,
    ],
    [
      'on `release`, and the transaction is answered',
      `pool.once('release', thrower);
       say((await pool.transaction((client) => client.query('SELECT 1 AS one'))).rows);`,
    ],
    [
      'on `release`, and the stream ends',
      `pool.once('release', thrower);
       const rows = [];
       for await (const row of pool.stream('SELECT 1 AS one')) rows.push(row);
       say(rows);`,
    ],
    [
      'in `log`, and the new connection is greeted',
      `pool.log = (text) => text.startsWith('new client') && thrower();
       pool.on('connect', () => {});
       say((await pool.query('SELECT 1 AS one')).rows);`,
    ],
  ])('%s', async (_, body) => {
    const child = start(
      'pgpool-rs',
      `process.on('uncaughtException', (error) => say(error.message));
       const thrower = () => { throw new Error('mine'); };
       const pool = new driver.Pool(config({ max: 1 }));
       ${body}
       say((await pool.query('SELECT 1 AS one')).rows);
       say([pool.totalCount, pool.idleCount]);
       await pool.end();`,
    );
    expect(await child.ended()).toEqual({ code: 0, signal: null });
    expect(child.lines.filter((line) => line !== 'mine')).toEqual([ROW, ROW, [1, 1]]);
    expect(child.lines).toContain('mine');
  });
});

describe('verify', () => {
  test('that throws refuses the connection', async () => {
    let refusing = true;
    const pool = poolOf({ verify: (client, done) => (refusing ? thrower() : done()) });
    expect(await outcome(pool.connect())).toMatchObject({ error: { message: 'mine' } });
    refusing = false;
    await serves(pool);
  });

  test('that answers twice is heard once', async () => {
    const pool = poolOf({
      verify: (client, done) => {
        done();
        done(new Error('after all not'));
      },
    });
    const client = await pool.connect();
    client.release();
    await serves(pool);
  });
});

describe('a class of clients that refuses to be made again', () => {
  class Refusing extends ours.Client {
    static made = 0;
    constructor(...args) {
      super(...args);
      if (Refusing.made++ > 0) throw new Error('no more');
    }
  }
  beforeEach(() => {
    Refusing.made = 0;
  });

  test.each([
    ['for a checkout', {}],
    ['for a password', { password: () => config().password }],
    ['for a stream', { stream: () => new net.Socket() }],
    ['for a greeting', { onConnect: () => {} }],
  ])('fails what it was wanted for: %s', async (_, options) => {
    const pool = poolOf({ max: 2, Client: Refusing, ...options });
    const ends = await Promise.all([outcome(pool.connect()), outcome(pool.connect())]);
    for (const { value } of ends) value?.release();
    expect(ends.map(({ error }) => error?.message).sort()).toEqual(['no more', undefined]);
  });
});

test.each([[Object.create(null)], [Symbol('odd')], [new Error('half \ud800 a pair')], [null], [undefined]])(
  'a password function that throws the odd value of case %# fails the query',
  async (thrown) => {
    const pool = poolOf({
      password() {
        throw thrown;
      },
    });
    const end = await pool.query('SELECT 1').then(
      () => 'no error',
      (error) => ({ error }),
    );
    if (thrown) expect(end.error).toBe(thrown);
    else expect(end.error).toBeInstanceOf(Error);
  },
);

test.each([
  ['no stream', () => ({})],
  ['nothing', () => null],
  ['a stream that cannot be written', () => ({ on() {}, once() {} })],
  ['a stream of text', () => new net.Socket().setEncoding('utf8')],
])('a `stream` option that gives %s is an error of the connect', async (_, stream) => {
  const pool = poolOf({ stream });
  expect((await outcome(pool.query('SELECT 1'))).error).toBeDefined();
});

describe('a signal', () => {
  const ways = {
    'pool.connect': (pool, signal) => pool.connect({ signal }),
    'pool.query': (pool, signal) => pool.query({ text: 'SELECT pg_sleep(60)', signal }),
    'pool.query on a client': (pool, signal) => {
      pool.on('acquire', () => {});
      return pool.query({ text: 'SELECT pg_sleep(60)', signal });
    },
    'pool.stream': (pool, signal) => pool.stream('SELECT pg_sleep(60)', [], { signal }).next(),
    'client.connect': (pool, signal) => new ours.Client(config()).connect({ signal }),
  };

  test.each(Object.entries(ways))(
    'whose reason looks like success is an AbortError all the same, by %s',
    async (_, way) => {
      for (const reason of [null, 0, '', false]) {
        const pool = poolOf();
        const early = await way(pool, AbortSignal.abort(reason)).catch((error) => error.name);
        expect(early).toBe('AbortError');
        const blocker = await pool.connect();
        const controller = new AbortController();
        const late = way(pool, controller.signal).catch((error) => error.name);
        controller.abort(reason);
        expect(await late).toBe('AbortError');
        blocker.release();
        await serves(pool);
      }
    },
  );

  test('that is null is none, one that is no signal is a TypeError', async () => {
    const pool = poolOf();
    (await pool.connect({ signal: null })).release();
    await serves(pool);
    const client = new ours.Client(config());
    await client.connect({ signal: null });
    await client.end();
    const other = new ours.Client(config());
    expect((await outcome(other.connect({ signal: 'now' }))).error.message).toBe(
      'signal must be an AbortSignal',
    );
    expect(await outcome(other.end())).toEqual({ value: undefined });
  });
});

test.each([undefined, null, 0, ''])(
  'a transaction whose function throws %p is rolled back and rejects',
  async (thrown) => {
    const pool = poolOf();
    const end = await pool
      .transaction(async (client) => {
        await client.query('CREATE TABLE never_there (x int)');
        throw thrown;
      })
      .then(
        () => 'resolved',
        (error) => ({ error }),
      );
    expect(end).toEqual({ error: thrown });
    expect((await pool.query("SELECT to_regclass('never_there') AS name")).rows).toEqual([{ name: null }]);
  },
);

describe('a query of a pool whose clients are watched', () => {
  test.each([
    ['a broken number of retries', { retryAttempts: 1.5 }, /syntax error/],
    ['retries without end', { retryAttempts: Infinity }, /retryAttempts must be a number/],
    ['a delay as text', { retryAttempts: 1, retryDelay: '5' }, /retryDelay must be a number/],
    ['codes that are no list', { retryAttempts: 1, retryOn: '40001' }, /retryOn must be an array/],
    ['half a surrogate pair', { text: "SELEC '\ud800'", retryAttempts: 1 }, /syntax error/],
  ])('fails and settles with %s', async (_, wish, message) => {
    const pool = poolOf();
    pool.on('acquire', () => {});
    expect((await outcome(pool.query({ text: 'SELEC', ...wish }))).error?.message).toMatch(message);
    await serves(pool);
  });

  test.each([1.5, Infinity, '2'])(
    'fails and settles with retryAttempts %p of the pool',
    async (retryAttempts) => {
      const pool = poolOf({ retryAttempts });
      pool.on('acquire', () => {});
      expect((await outcome(pool.query('SELEC'))).error?.message).toMatch(/syntax error/);
      await serves(pool);
    },
  );
});

test.each([
  ['its timeout', { query_timeout: Symbol('soon') }],
  ['its name', { name: { toString: thrower } }],
])('a stream that cannot be sent for %s rejects and gives the connection back', async (_, odd) => {
  const pool = poolOf();
  expect((await outcome(pool.stream({ text: 'SELECT 1', ...odd }).next())).error).toBeDefined();
  await serves(pool);
});

describe('code that acts on the pool from within a query', () => {
  test('a type parser may query, release, and end the pool', async () => {
    const pool = new ours.Pool(config({ max: 2 }));
    const inner = [];
    let ended;
    const client = await pool.connect();
    const types = {
      getTypeParser: () => (text) => {
        inner.push(outcome(pool.query('SELECT 1 AS one')));
        if (inner.length === 1) client.release();
        if (inner.length === 3) ended = pool.end();
        return text;
      },
    };
    const { value } = await outcome(
      client.query({ text: 'SELECT x::text FROM generate_series(1, 5) x', types }),
    );
    expect(value.rows).toHaveLength(5);
    const ends = await Promise.all(inner);
    expect(ends.filter((end) => end === 'hung')).toEqual([]);
    expect(await outcome(ended)).toEqual({ value: undefined });
    await until(() => pool.totalCount === 0);
  });

  test('toPostgres may end the pool while its parameter is written', async () => {
    const pool = new ours.Pool(config({ max: 1 }));
    let ended;
    const value = {
      toPostgres: () => {
        ended = pool.end();
        return 'x';
      },
    };
    const end = await outcome(pool.query('SELECT $1::text AS x', [value]));
    expect(end.error?.message).toBe('Cannot use a pool after calling end on the pool');
    expect(await outcome(ended)).toEqual({ value: undefined });
  });
});
