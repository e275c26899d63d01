'use strict';

// What the application gets wrong itself: where the server is, who it is, which certificates, and
// parameters that cannot be sent. Each is an error with pg's words, or clearer ones, by every way to
// a connection; nothing hangs, nothing is left open, and the pool serves the next query.

const pg = require('pg');
const ours = require('../..');
const { closedPort } = require('../support/ports');
const { startPostgres } = require('../support/postgres');
const { server, config } = require('../support/server');
const { cleanly, outcome, told, watchUncaught, ways } = require('./trial');

const embedded = server().embedded ? test : test.skip;
let uncaught;
beforeEach(() => {
  uncaught = watchUncaught();
});
afterEach(() => {
  uncaught.stop();
  expect(uncaught.seen).toEqual([]);
});

const wrong = {
  'a host that nobody knows': async () => config({ host: 'no-such-host.invalid' }),
  'a port where nobody listens': async () => config({ port: await closedPort() }),
  'a name whose every address refuses': async () => config({ host: 'localhost', port: await closedPort() }),
  'a directory without a socket': async () => config({ host: '/no/such/directory' }),
  'a wrong password': async () => config({ password: 'not it' }),
  'no password': async () => config({ password: '' }),
  'a password function that throws': async () =>
    config({
      password: () => {
        throw new Error('the vault is closed');
      },
    }),
  'a password function that rejects': async () =>
    config({ password: async () => Promise.reject(new Error('the vault is empty')) }),
  'a password function that gives a number': async () => config({ password: async () => 42 }),
  'a user that does not exist': async () => config({ user: 'nobody_of_this_name' }),
  'a database that does not exist': async () => config({ database: 'nowhere' }),
  'an option the server does not have': async () => config({ options: '-c no_such_setting=1' }),
};

describe.each(Object.entries(wrong))('%s', (_, given) => {
  test.each(Object.entries(ways))('fails as with pg by %s', async (_, way) => {
    const options = await given();
    const expected = await way(pg, options);
    expect(expected.error).toBeDefined();
    expect(await cleanly(way)(ours, options)).toEqual(expected);
  });
});

describe('certificates', () => {
  const servers = {};
  const tlsOf = async (name) => (servers[name] ??= await startPostgres({ tls: name }));
  afterAll(async () => {
    await Promise.all(Object.values(servers).map((one) => one.stop('immediate')));
  });
  const to = (target, ssl, more) => {
    const { host, port, user, password, database } = target;
    return { host, port, user, password, database, ssl, ...more };
  };

  embedded('an expired one is refused in pg’s words', async () => {
    const expired = await tlsOf('expired');
    for (const way of Object.values(ways)) {
      const options = to(expired, { ca: expired.ca });
      expect(await cleanly(way)(ours, options)).toMatchObject({
        error: { message: 'certificate has expired', code: 'CERT_HAS_EXPIRED' },
      });
      expect(await way(pg, options)).toMatchObject({
        error: { message: 'certificate has expired', code: 'CERT_HAS_EXPIRED' },
      });
    }
  });

  embedded('one for another host is refused under Node’s code', async () => {
    const wrongHost = await tlsOf('wrongHost');
    const options = to(wrongHost, { ca: wrongHost.ca }, { host: 'localhost' });
    for (const way of Object.values(ways)) {
      for (const driver of [pg, ours]) {
        const { error } = await way(driver, options);
        expect(error.code).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
        expect(error.message).toMatch(/^Hostname\/IP does not match certificate's altnames/);
      }
    }
  });

  embedded('one of a foreign authority is refused as by pg', async () => {
    const foreign = await tlsOf('foreign');
    for (const ssl of [true, { ca: foreign.ca }]) {
      for (const way of Object.values(ways)) {
        const expected = await way(pg, to(foreign, ssl));
        const got = await cleanly(way)(ours, to(foreign, ssl));
        expect({ message: got.error.message, code: got.error.code }).toEqual({
          message: expected.error.message,
          code: expected.error.code,
        });
      }
    }
  });

  embedded(
    'a client certificate that is missing, or of a foreign authority, is refused by the server',
    async () => {
      const { users, tls, ca } = server();
      const user = users.cert_user.user;
      for (const way of Object.values(ways)) {
        const missing = config({ user, password: 'unused', ssl: { ca } });
        const expected = await way(pg, missing);
        expect(expected.error.code).toBe('28000');
        expect(await cleanly(way)(ours, missing)).toEqual(expected);
        const foreign = config({
          user,
          password: 'unused',
          ssl: { ca, cert: tls.foreignClient.cert, key: tls.foreignClient.key },
        });
        const refused = await way(pg, foreign);
        expect((await cleanly(way)(ours, foreign)).error).toMatchObject({
          message: 'the server refused the client certificate: unknown ca',
          code: refused.error.code,
        });
      }
    },
  );

  embedded(
    'unusable PEM, or a key that belongs to another certificate, is an error of the connect',
    async () => {
      const { users, tls, ca } = server();
      const user = users.cert_user.user;
      const choices = [
        { ca: 'no certificate' },
        { ca, cert: 'no certificate', key: tls.client.key },
        { ca, cert: tls.client.cert, key: 'no key' },
        { ca, cert: tls.client.cert, key: tls.foreignClient.key.replace('A', 'B') },
        { ca: `${ca.slice(0, 200)}\n-----END CERTIFICATE-----\n` },
      ];
      for (const ssl of choices) {
        for (const way of Object.values(ways)) {
          const { error } = await cleanly(way)(ours, config({ user, ssl }));
          expect(error.message).not.toContain('PRIVATE KEY');
          expect(error.message.length).toBeGreaterThan(5);
        }
      }
    },
  );

  embedded('TLS that the server does not offer is an error as with pg', async () => {
    const plain = await startPostgres({ tls: false });
    try {
      for (const way of Object.values(ways)) {
        const expected = await way(pg, to(plain, true));
        expect(await cleanly(way)(ours, to(plain, true))).toEqual(expected);
      }
    } finally {
      await plain.stop('immediate');
    }
  });
});

describe('parameters that cannot be sent', () => {
  const cycle = {};
  cycle.self = cycle;
  const loop = { toPostgres: () => loop };
  const thrower = {
    toPostgres() {
      throw new Error('no text for this');
    },
  };
  const fails = {
    'a cycle': [cycle],
    'a cycle of toPostgres': [loop],
    'a toPostgres that throws': [thrower],
    'a toJSON that throws': [
      {
        toJSON() {
          throw new RangeError('no JSON either');
        },
      },
    ],
    'a getter that throws': [
      Object.defineProperty({}, 'x', {
        enumerable: true,
        get() {
          throw new Error('not readable');
        },
      }),
    ],
    'a BigInt inside JSON': [{ big: 1n }],
    'a zero byte in text': ['a\0b'],
    'a value of the wrong type': ['not a number at all'],
  };
  const casts = { 'a value of the wrong type': 'SELECT $1::int' };

  describe.each(Object.entries(fails))('%s', (name, values) => {
    const text = casts[name] ?? 'SELECT $1::text';

    test('fails as with pg, and the next query is answered', async () => {
      const seen = [];
      for (const driver of [pg, ours]) {
        const pool = new driver.Pool(config({ max: 1 }));
        const client = new driver.Client(config());
        await client.connect();
        const ends = [await outcome(pool.query(text, values)), await outcome(client.query(text, values))];
        for (const one of [pool, client])
          expect((await one.query('SELECT $1::text AS word', ['next'])).rows).toEqual([{ word: 'next' }]);
        seen.push(ends);
        await pool.end();
        await client.end();
      }
      expect(seen[0].every((end) => end.error)).toBe(true);
      expect(seen[1]).toEqual(seen[0]);
    });
  });

  test('a symbol is its description, as with pg', async () => {
    for (const driver of [pg, ours]) {
      const pool = new driver.Pool(config({ max: 1 }));
      expect((await pool.query('SELECT $1::text AS word', [Symbol('mark')])).rows).toEqual([
        { word: 'Symbol(mark)' },
      ]);
      await pool.end();
    }
  });

  const clearer = {
    'a zero byte in the statement': ["SELECT 'a\0b'", undefined, /zero byte/],
    'a zero byte in the statement’s name': [{ text: 'SELECT 1', name: 'a\0b' }, undefined, /zero byte/],
    '70,000 parameters': [
      `SELECT $1::text`,
      Array.from({ length: 70_000 }, String),
      /at most 65535 parameters, not 70000/,
    ],
    'values that are no list': ['SELECT $1::text', { 0: 'a', length: 1 }, /must be an array/],
  };

  describe.each(Object.entries(clearer))('%s', (_, [text, values, message]) => {
    test('is a clear error, and the next query is answered', async () => {
      const pool = new ours.Pool(config({ max: 1 }));
      const client = new ours.Client(config());
      await client.connect();
      for (const one of [pool, client]) {
        const end = await outcome(Promise.resolve().then(() => one.query(text, values)));
        expect(end.error?.message).toMatch(message);
        expect((await one.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      }
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
      await pool.end();
      await client.end();
    });
  });

  test.each([[2.5], [-1], [NaN], ['2'], [Infinity], [{}], [true]])(
    'a Proxy of values with the length %p is a clear error',
    async (length) => {
      const values = new Proxy(['a', 'b'], { get: (list, key) => (key === 'length' ? length : list[key]) });
      const pool = new ours.Pool(config({ max: 1 }));
      expect((await outcome(pool.query('SELECT $1::text, $2::text', values))).error).toMatchObject({
        type: 'TypeError',
        message: 'Query values must be an array',
      });
      expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      await pool.end();
    },
  );

  test('bytes are as long as they are, whatever they say', async () => {
    const pool = new ours.Pool(config({ max: 1 }));
    for (const byteLength of [0, 1, 5000]) {
      const bytes = Object.defineProperty(Buffer.from('abc'), 'byteLength', { value: byteLength });
      expect((await pool.query('SELECT $1::bytea AS bytes', [bytes])).rows[0].bytes).toEqual(
        Buffer.from('abc'),
      );
    }
    const inDisguise = Object.assign(() => {}, { toString: () => new ArrayBuffer(20) });
    expect((await outcome(pool.query('SELECT $1::bytea', [inDisguise]))).error.type).toBe('TypeError');
    await pool.end();
  });

  test('what exceeds the largest message is refused before it is copied or sent', async () => {
    const pool = new ours.Pool(config({ max: 1 }));
    const before = process.memoryUsage().rss;
    // Never touched, so the system gives no memory for it.
    const huge = Buffer.allocUnsafeSlow(2 ** 31 - 1);
    const text = 'x'.repeat(2 ** 28);
    const attempts = [
      [huge],
      [huge, huge, huge],
      [text, text, text, text, text],
      [Buffer.allocUnsafeSlow(2 ** 30)],
    ];
    for (const values of attempts) {
      const end = await outcome(pool.query('SELECT 1', values));
      expect(end.error?.message).toMatch(/must not be larger than \d+ bytes/);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 31);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await pool.end();
  });

  test('a parameter of 64 MB arrives whole', async () => {
    const pool = new ours.Pool(config({ max: 1 }));
    const { rows } = await pool.query('SELECT length($1::text) AS letters, length($2::bytea) AS bytes', [
      'ä'.repeat(2 ** 25),
      Buffer.alloc(2 ** 25, 1),
    ]);
    expect(rows).toEqual([{ letters: 2 ** 25, bytes: 2 ** 25 }]);
    await pool.end();
  });
});

describe('settings that make no sense', () => {
  test.each([70_000, -1, 'five'])(
    'the port %p is refused in the words and at the moment of pg',
    async (port) => {
      const seen = [];
      for (const { Client, Pool } of [pg, ours]) {
        const pool = new Pool(config({ port }));
        const moments = [() => pool.query('SELECT 1'), () => pool.connect()].map((call) => {
          try {
            call();
            return 'nothing thrown';
          } catch (error) {
            return told(error);
          }
        });
        seen.push([...moments, await outcome(new Client(config({ port })).connect())]);
      }
      expect(seen[0][0].code).toBe('ERR_SOCKET_BAD_PORT');
      expect(seen[1]).toEqual(seen[0]);
    },
  );

  test('a max that is no number is a clear error', async () => {
    const pool = new ours.Pool(config({ max: 'many' }));
    expect(() => pool.query('SELECT 1')).toThrow(new TypeError('the option `max` must be a number'));
    await pool.end();
  });

  test('a limit of the breaker that is no number is a clear error', () => {
    const breaker = { failedConnects: 'three' };
    expect(() => new ours.Pool(config({ breaker }))).toThrow(
      new TypeError('the option `breaker.failedConnects` must be a number'),
    );
  });

  test('options out of range are all named in one ConfigurationError', () => {
    const breaker = { failureRate: 7, minimumCalls: 0, failingMillis: -5, failedConnects: 0 };
    const pool = new ours.Pool(
      config({ max: -1, retryAttempts: -2, targetSessionAttrs: 'writable', breaker }),
    );
    let error;
    try {
      pool.query('SELECT 1');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ours.ConfigurationError);
    expect(error).toMatchObject({
      name: 'ConfigurationError',
      code: 'INVALID_CONFIGURATION',
      problems: [
        'targetSessionAttrs must be any, read-write, read-only, primary, standby or prefer-standby',
        'max must be a number of at least 1',
        'retryAttempts must be a number of at least 0',
        'breaker.minimumCalls must be a number of at least 1',
        'breaker.failedConnects must be a number of at least 1',
        'breaker.failingMillis must be a number of at least 0',
        'breaker.failureRate must be a number above 0 and at most 1',
      ],
    });
    expect(error.message).toBe(`invalid configuration: ${error.problems.join('; ')}`);
  });

  test('options that would be taken for nothing are all named when the pool is made', () => {
    const breaker = { failureRatio: 0.3, failingMillis: 5, halfOpen: 1 };
    let error;
    try {
      new ours.Pool(config({ deadline: -1, log: 5, breaker }));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ours.ConfigurationError);
    const members =
      'mode, failureRate, minimumCalls, windowMillis, failedConnects, failingMillis, firstProbeMillis, probeMillis, longProbeMillis';
    expect(error.problems).toEqual([
      'deadline must be a number of at least 0',
      'log must be a function',
      `breaker.failureRatio is none of ${members}`,
      `breaker.halfOpen is none of ${members}`,
    ]);
    expect(() => new ours.Pool(config({ deadline: 'soon' }))).toThrow(
      'deadline must be a number of at least 0',
    );
  });

  const fine = [
    { deadline: 0 },
    { deadline: '5000' },
    { deadline: null },
    { log: null },
    { log: false },
    { breaker: { mode: 'off' } },
    { breaker: null },
    { breaker: {} },
  ];
  test.each(fine)('%o is served', async (options) => {
    const pool = new ours.Pool(config(options));
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await pool.end();
  });

  const exotic = [
    ['a statement cache without end', { statementCacheSize: 2 ** 53 }],
    ['less than one use', { maxUses: 0.5 }],
    ['a first probe after less than a second', { keepAlive: true, keepAliveInitialDelayMillis: 5 }],
    ['a first probe in a million years', { keepAlive: true, keepAliveInitialDelayMillis: 2 ** 55 }],
    ['a timeout of 2^32 and 5 milliseconds', { query_timeout: 2 ** 32 + 5 }],
    [
      'a pool without end',
      { max: 1e308, maxWaiting: 1e308, maxLifetimeSeconds: 1e308, idleTimeoutMillis: 1e308 },
    ],
    [
      'infinite times',
      { idleTimeoutMillis: Infinity, connectionTimeoutMillis: Infinity, acquireTimeoutMillis: Infinity },
    ],
  ];
  test.each(exotic)('%s is served', async (_, options) => {
    for (const way of Object.values(ways)) {
      expect(await cleanly(way)(ours, config(options), 'SELECT pg_sleep(0.05), 1 AS one')).toEqual({
        rows: [{ pg_sleep: '', one: 1 }],
      });
    }
  });

  test('a user timeout that TCP cannot hold is a clear error', async () => {
    const pool = new ours.Pool(config({ keepAlive: true, tcpUserTimeoutMillis: 2 ** 31 }));
    expect(() => pool.query('SELECT 1')).toThrow('tcpUserTimeoutMillis must be a number up to 2147483647');
    await pool.end();
  });

  test('a password of 20 MB is refused and keeps no other connection waiting', async () => {
    const pool = new ours.Pool(config({ password: 'p'.repeat(2e7) }));
    const other = new ours.Pool(config());
    const ends = await Promise.all([
      outcome(pool.query('SELECT 1')),
      outcome(other.query('SELECT 1 AS one')),
    ]);
    expect(ends[0].error.message).toMatch(/password is longer than 65536 bytes$/);
    expect(ends[1].value.rows).toEqual([{ one: 1 }]);
    await Promise.all([pool.end(), other.end()]);
  });

  test.each([
    ['a zero byte in the user’s name', { user: 'a\0b' }],
    ['a zero byte in the database’s name', { database: 'a\0b' }],
    ['a zero byte in the host’s name', { host: 'a\0b' }],
    ['a zero byte in the password', { password: 'a\0b' }],
  ])('%s is a rejection', async (_, overrides) => {
    for (const way of Object.values(ways)) {
      const { error } = await cleanly(way)(ours, config(overrides));
      expect(error?.message.length).toBeGreaterThan(5);
    }
  });
});

test('an error thrown by the row’s own type parser rejects that query only', async () => {
  const types = {
    getTypeParser: (oid) =>
      oid === 25
        ? () => {
            throw new TypeError('unreadable');
          }
        : String,
  };
  const pool = new ours.Pool(config({ max: 1 }));
  const end = await outcome(
    pool.query({ text: "SELECT 'a'::text AS a FROM generate_series(1, 1000)", types }),
  );
  expect(end.error).toEqual(told(new TypeError('unreadable')));
  expect((await pool.query("SELECT 'a'::text AS a")).rows).toEqual([{ a: 'a' }]);
  await pool.end();
});
