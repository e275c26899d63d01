'use strict';

// The DB_* variables: what they mean, what is refused, and which pool a name leads to.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { inspect } = require('node:util');
const pgpool = require('..');
const Tiers = require('../lib/pool/tiers');
const { ConfigurationError } = require('../lib/errors');
const { environmentTiers, readEnvironment } = require('../lib/config/environment');
const { config, server } = require('./support/server');

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

function problems(env) {
  try {
    readEnvironment(env);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return error.problems;
  }
}

describe('an empty environment', () => {
  test('gives each tier the sizes and times of its own', () => {
    const { tiers, tiered } = readEnvironment({});
    const sizes = ({ max, min, idleTimeoutMillis, connectionTimeoutMillis }) => [
      max,
      min,
      idleTimeoutMillis,
      connectionTimeoutMillis,
    ];
    expect(tiered).toBe(true);
    expect(sizes(tiers.highPriority)).toEqual([30, 10, 30000, 2000]);
    expect(sizes(tiers.lowPriority)).toEqual([10, 2, 60000, 5000]);
    expect(sizes(tiers.admin)).toEqual([5, 1, 30000, 2000]);
  });

  test('names no server, no user and no password', () => {
    const { highPriority } = readEnvironment({}).tiers;
    for (const name of ['host', 'port', 'database', 'user', 'password', 'ssl']) {
      expect(highPriority[name]).toBeUndefined();
    }
    expect('ssl' in highPriority).toBe(false);
  });

  test('has the defaults of retry and breaker', () => {
    const { tiers, totalMax } = readEnvironment({});
    expect(tiers.highPriority).toMatchObject({
      retry: 'on',
      retryAttempts: 3,
      breaker: 'enforce',
      failFast: false,
    });
    // Not set: 50 ms for statements, 1000 for a server that refuses connections.
    expect('retryDelay' in tiers.highPriority).toBe(false);
    expect(totalMax).toBeUndefined();
  });

  test('counts an empty variable as not set', () => {
    expect(problems({ DB_PORT: '', DB_SSL: '', DB_MAX_CONNECTIONS: '' })).toEqual([]);
  });
});

describe('variables', () => {
  test('say where the database is and who asks', () => {
    const env = {
      DB_HOST: 'db.example',
      DB_PORT: '6432',
      DB_NAME: 'news',
      DB_USER: 'reader',
      DB_PASSWORD: 'geheim',
    };
    const { highPriority } = readEnvironment(env).tiers;
    expect(highPriority).toMatchObject({ host: 'db.example', port: 6432, database: 'news', user: 'reader' });
    expect(highPriority.password).toBe('geheim');
  });

  test('give the admin tier credentials of its own', () => {
    const env = { DB_USER: 'reader', DB_PASSWORD: 'a', DB_ADMIN_USER: 'owner', DB_ADMIN_PASSWORD: 'b' };
    const { admin, lowPriority } = readEnvironment(env).tiers;
    expect([admin.user, admin.password]).toEqual(['owner', 'b']);
    expect([lowPriority.user, lowPriority.password]).toEqual(['reader', 'a']);
  });

  test('leave the admin tier the common credentials when it has none', () => {
    const { admin } = readEnvironment({ DB_USER: 'reader', DB_PASSWORD: 'a' }).tiers;
    expect([admin.user, admin.password]).toEqual(['reader', 'a']);
  });

  test('size each tier, and a lowered maximum lowers the default minimum', () => {
    const env = {
      DB_HIGH_PRIORITY_MAX: '4',
      DB_LOW_PRIORITY_MAX: '8',
      DB_LOW_PRIORITY_MIN: '3',
      DB_ADMIN_MIN: '0',
    };
    const { highPriority, lowPriority, admin } = readEnvironment(env).tiers;
    expect([highPriority.max, highPriority.min]).toEqual([4, 4]);
    expect([lowPriority.max, lowPriority.min]).toEqual([8, 3]);
    expect([admin.max, admin.min]).toEqual([5, 0]);
  });

  test('set times for all tiers at once', () => {
    const env = { DB_IDLE_TIMEOUT: '1000', DB_CONNECTION_TIMEOUT: '0', DB_ACQUIRE_TIMEOUT: '700' };
    for (const tier of Object.values(readEnvironment(env).tiers)) {
      expect(tier).toMatchObject({
        idleTimeoutMillis: 1000,
        connectionTimeoutMillis: 0,
        acquireTimeoutMillis: 700,
      });
    }
  });

  test('name a file with the password, which is read at each login', async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-environment-'));
    try {
      const file = path.join(directory, 'password');
      fs.writeFileSync(file, 'first\n');
      const { tiers } = readEnvironment({ DB_PASSWORD_FILE: file, DB_ADMIN_PASSWORD: 'of admin' });
      expect(await tiers.highPriority.password()).toBe('first');
      fs.writeFileSync(file, 'second');
      expect(await tiers.lowPriority.password()).toBe('second');
      expect(tiers.admin.password).toBe('of admin');
      expect(inspect(tiers, { depth: 20 })).not.toContain('second');
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });

  test('give a connection string where no host is set, and go before its parts', () => {
    const DATABASE_URL =
      'postgres://me:geheim@a:1,b:2/news?application_name=app&target_session_attrs=primary';
    const { admin, lowPriority } = readEnvironment({
      DATABASE_URL,
      DB_NAME: 'other',
      DB_ADMIN_USER: 'owner',
      DB_ADMIN_TARGET_SESSION_ATTRS: 'any',
    }).tiers;
    expect(lowPriority).toMatchObject({ host: 'a,b', port: '1,2', user: 'me', database: 'other' });
    expect(lowPriority).toMatchObject({ application_name: 'app', targetSessionAttrs: 'primary' });
    expect(lowPriority.password).toBe('geheim');
    expect(admin).toMatchObject({ user: 'owner', targetSessionAttrs: 'any' });
    expect(inspect(admin, { depth: 20 })).not.toContain('geheim');
    expect(readEnvironment({ DATABASE_URL, DB_HOST: 'c' }).tiers.admin).not.toHaveProperty('port');
  });

  test('limit queries in time', () => {
    const { admin } = readEnvironment({ DB_QUERY_TIMEOUT: '5', DB_DEADLINE: '7' }).tiers;
    expect(admin).toMatchObject({ query_timeout: 5, deadline: 7 });
  });

  test('switch TLS on, off, and without verification', () => {
    const ssl = (env) => readEnvironment(env).tiers.highPriority.ssl;
    expect(ssl({ DB_SSL: 'true' })).toBe(true);
    expect(ssl({ DB_SSL: 'off' })).toBe(false);
    expect(ssl({ DB_SSL: 'no-verify' })).toEqual({ rejectUnauthorized: false });
    expect(ssl({ DB_SSL_CA: PEM })).toEqual({ ca: PEM });
    expect(ssl({ DB_SSL_CA: PEM.replaceAll('\n', '\\n') })).toEqual({ ca: PEM });
  });

  test('name files with certificates', () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-environment-'));
    try {
      const file = path.join(directory, 'ca.pem');
      fs.writeFileSync(file, PEM);
      expect(readEnvironment({ DB_SSL: 'true', DB_SSL_CA: file }).tiers.admin.ssl).toEqual({ ca: PEM });
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  });

  test('switch the pieces off', () => {
    const env = { DB_TIERS: 'off', DB_RETRY: 'off', DB_BREAKER: 'metrics', DB_MONITOR: 'off' };
    expect(readEnvironment(env)).toMatchObject({
      tiered: false,
      shared: { retry: 'off', failFast: true, breaker: 'metrics' },
    });
  });
});

describe('what makes no sense', () => {
  test('is named all at once', () => {
    const env = {
      DB_PORT: 'five',
      DB_LOW_PRIORITY_MAX: '-1',
      DB_TIERS: 'maybe',
      DB_KEEP_ALIVE: '2',
      DB_IDLE_TIMEOUT: '1.5',
    };
    const found = problems(env).join('\n');
    for (const name of Object.keys(env)) expect(found).toContain(name);
    expect(problems(env)).toHaveLength(5);
    expect(() => readEnvironment(env)).toThrow(
      /^invalid configuration: .*DB_PORT must be a whole number from 1 to 65535, not "five"/,
    );
  });

  test.each([
    [{ DB_PORT: '0' }],
    [{ DB_PORT: '65536' }],
    [{ DB_MAX_CONNECTIONS: '0' }],
    [{ DB_MAX_CONNECTIONS: '1e3' }],
    [{ DB_MAX_CONNECTIONS: '0x10' }],
    [{ DB_RETRY_ATTEMPTS: 'three' }],
    [{ DB_CONNECTION_TIMEOUT: '2s' }],
    [{ DB_ACQUIRE_TIMEOUT: '99999999999999999999' }],
    [{ DB_BREAKER: 'open' }],
    [{ DB_SSL: 'maybe' }],
    [{ DB_TOTAL_MAX: 'NaN' }],
  ])('%j is refused', (env) => {
    expect(problems(env)).toEqual([expect.stringContaining(Object.keys(env)[0])]);
  });

  test.each([
    [
      { DB_HIGH_PRIORITY_MAX: '5', DB_HIGH_PRIORITY_MIN: '6' },
      'DB_HIGH_PRIORITY_MIN (6) must not exceed DB_HIGH_PRIORITY_MAX (5)',
    ],
    [{ DB_ADMIN_MIN: '6' }, 'DB_ADMIN_MIN (6) must not exceed DB_ADMIN_MAX (5)'],
    [{ DB_MIN_CONNECTIONS: '21' }, 'DB_MIN_CONNECTIONS (21) must not exceed DB_MAX_CONNECTIONS (20)'],
    [{ DB_TOTAL_MAX: '12' }, 'DB_TOTAL_MAX (12) must not be below the minimums of the tiers together (13)'],
  ])('%j: minimum and maximum contradict each other', (env, problem) => {
    expect(problems(env)).toEqual([problem]);
  });

  test('a key that was pasted badly is not repeated', () => {
    const found = problems({ DB_SSL_KEY: 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC', DB_SSL_CERT: PEM });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^DB_SSL_KEY must be PEM text or the path of a readable file/);
    expect(found[0]).not.toContain('MIIE');
  });

  test('a password given twice, in a file that is not there, or in a broken connection string is named, not shown', () => {
    const env = {
      DATABASE_URL: 'postgres://me:geh[eim@:::/',
      DB_PASSWORD: 'geheim',
      DB_PASSWORD_FILE: '/geheim',
    };
    expect(problems(env)).toEqual([
      expect.stringMatching(
        /^DATABASE_URL must be a connection string, postgres:\/\/user:password@host:port\/database/,
      ),
      'DB_PASSWORD_FILE must be the path of a readable file (ENOENT)',
      'DB_PASSWORD and DB_PASSWORD_FILE must not be given together',
    ]);
    expect(problems(env).join()).not.toContain('geh');
  });

  test('a key without its certificate is refused', () => {
    expect(problems({ DB_SSL: 'true', DB_SSL_CERT: PEM })).toEqual([
      'DB_SSL_KEY and DB_SSL_CERT must be given together',
    ]);
  });

  test('passwords do not show up where a configuration is printed', () => {
    const read = readEnvironment({ DB_PASSWORD: 'geheim', DB_ADMIN_PASSWORD: 'geheimer' });
    expect(inspect(read, { depth: 20 }) + JSON.stringify(read)).not.toContain('geheim');
  });
});

describe('getPool', () => {
  function environment(more = {}) {
    const { host, port, user, password, database } = server();
    return {
      DB_HOST: host,
      DB_PORT: String(port),
      DB_NAME: database,
      DB_USER: user,
      DB_PASSWORD: password,
      ...more,
    };
  }

  async function using(env, body) {
    const tiers = new Tiers(pgpool.Pool, environmentTiers(env));
    try {
      await body(tiers);
    } finally {
      await Promise.all([...tiers.open.values()].map((pool) => pool.end()));
    }
  }

  test('gives one pool per name, and highPriority for any other name', () =>
    using(environment(), async (tiers) => {
      const high = tiers.getPool('highPriority');
      expect(tiers.getPool('highPriority')).toBe(high);
      expect(tiers.getPool('admin')).not.toBe(high);
      for (const name of ['urgent', undefined, '__proto__', 'constructor', 'shared'])
        expect(tiers.getPool(name)).toBe(high);
      expect(high).toBeInstanceOf(pgpool.Pool);
    }));

  test('gives the same pools as the properties of pools', () =>
    using(environment(), async (tiers) => {
      const { pools } = tiers;
      expect(Object.keys(pools)).toEqual(['highPriority', 'lowPriority', 'admin']);
      expect(pools.lowPriority).toBe(tiers.getPool('lowPriority'));
      expect(pools.lowPriority).not.toBe(pools.highPriority);
    }));

  test('gives one pool for all names when tiers are off', () =>
    using(
      environment({ DB_TIERS: 'off', DB_MAX_CONNECTIONS: '3', DB_MIN_CONNECTIONS: '0' }),
      async (tiers) => {
        const pool = tiers.getPool('admin');
        expect(pool.options).toMatchObject({ max: 3, min: 0 });
        expect(tiers.getPool('lowPriority')).toBe(pool);
        expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      },
    ));

  test('runs queries as the users of the environment', () =>
    using(environment({ DB_HIGH_PRIORITY_MIN: '0', DB_ADMIN_MIN: '0' }), async (tiers) => {
      const who = 'SELECT current_user AS who, current_database() AS what';
      expect((await tiers.getPool('highPriority').query(who)).rows).toEqual([
        { who: config().user, what: config().database },
      ]);
      expect((await tiers.getPool('admin').query(who)).rows).toEqual([
        { who: config().user, what: config().database },
      ]);
    }));

  test('throws for an environment that makes no sense, and opens nothing', () => {
    const tiers = new Tiers(pgpool.Pool, environmentTiers({ DB_PORT: 'five' }));
    expect(() => tiers.getPool('admin')).toThrow(ConfigurationError);
    expect(() => tiers.pools.lowPriority).toThrow('DB_PORT');
    expect(tiers.open.size).toBe(0);
  });

  test('is exported, and importing it reads no environment', () => {
    expect(typeof pgpool.getPool).toBe('function');
    expect(Object.keys(pgpool.pools)).toEqual(['highPriority', 'lowPriority', 'admin']);
  });
});
