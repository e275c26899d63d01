'use strict';

// Pool: call forms, events, counts and messages, each case run with pg-pool and with this package.

const { AsyncLocalStorage } = require('node:async_hooks');
const { alike, outcome, thrown, told, journal, calledBack, inProcess } = require('./alike');
const { until } = require('../support/until');

const EVENTS = ['connect', 'acquire', 'release', 'remove', 'error'];

function counts(pool) {
  return [pool.totalCount, pool.idleCount, pool.waitingCount, pool.expiredCount];
}

/** Runs `body` with a pool that is ended afterwards. */
async function withPool(driver, options, body) {
  const pool = new driver.Pool(options);
  try {
    return await body(pool);
  } finally {
    if (!pool.ending) await pool.end();
  }
}

describe('queries of a pool', () => {
  alike('a text resolves to a result with the keys, fields and rows of pg', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const result = await pool.query('SELECT 1 AS one, $1::text AS two, NULL AS none', ['zwei']);
      return {
        keys: Object.keys(result),
        fields: result.fields,
        rows: result.rows,
        command: result.command,
        rowCount: result.rowCount,
      };
    }),
  );

  alike('several statements resolve to an array of results', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const results = await pool.query(
        'SELECT 1 AS a; SELECT 2 AS b WHERE false; CREATE TEMP TABLE t (x int)',
      );
      return results.map(({ command, rowCount, rows, oid }) => ({ command, rowCount, rows, oid }));
    }),
  );

  alike('an empty statement resolves to an empty result', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const { command, rowCount, oid, rows, fields } = await pool.query('');
      return { command, rowCount, oid, rows, fields };
    }),
  );

  alike('a config with rowMode array gives arrays, and stays as it was', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const query = Object.freeze({
        text: 'SELECT $1::int AS x, 2 AS x',
        values: Object.freeze([1]),
        rowMode: 'array',
      });
      return (await pool.query({ ...query })).rows;
    }),
  );

  alike('the last of several columns of one name wins', (driver, config) =>
    withPool(driver, config(), async (pool) => (await pool.query('SELECT 1 AS a, 2 AS b, 3 AS a')).rows),
  );

  alike('an SQL error rejects with all fields of a DatabaseError', (driver, config) =>
    withPool(driver, config(), async (pool) => outcome(pool.query('SELECT 1 / 0 AS x'))),
  );

  alike('a rejection shows the functions that awaited it', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      async function readerOfArticles() {
        await pool.query('SELECT nonsense');
      }
      async function pageOfArticles() {
        await readerOfArticles();
      }
      const error = await pageOfArticles().catch((reason) => reason);
      return [/async readerOfArticles/.test(error.stack), /async pageOfArticles/.test(error.stack)];
    }),
  );

  alike('a min above the max is taken as it is, and the max holds', (driver, config) =>
    withPool(driver, config({ min: 5, max: 2, idleTimeoutMillis: 1 }), async (pool) => {
      const results = await Promise.all([1, 2, 3].map((n) => pool.query('SELECT $1::int AS n', [n])));
      const { min, max } = pool.options;
      return { min, max, total: pool.totalCount, rows: results.map(({ rows }) => rows) };
    }),
  );

  alike('a callback gets undefined and the result', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const [error, result] = await calledBack((done) => pool.query('SELECT 1 AS x', done));
      const [second, more] = await calledBack((done) => pool.query('SELECT $1::int AS x', [2], done));
      return [error, result.rows, second, more.rows];
    }),
  );

  alike('a callback form returns undefined', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      let returned = 'not called';
      await calledBack((done) => {
        returned = pool.query('SELECT 1', done);
      });
      return { returned };
    }),
  );

  alike('a failing query calls back with the error alone', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const args = await calledBack((done) => pool.query('SELECT $1::int / 0', [1], done));
      return [args.length, told(args[0])];
    }),
  );

  alike('a function in place of the text is refused through it', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const [error] = await calledBack((done) => pool.query(done));
      return told(error);
    }),
  );

  alike('misuse rejects with the messages of pg', (driver, config) =>
    withPool(driver, config(), async (pool) => [
      await outcome(pool.query()),
      await outcome(pool.query(null)),
      await outcome(pool.query({})),
      await outcome(pool.query({ text: 7 })),
      await outcome(pool.query('SELECT $1', 'not an array')),
      await outcome(
        pool.query('SELECT $1', [
          {
            toPostgres: () => {
              throw new RangeError('no such value');
            },
          },
        ]),
      ),
    ]),
  );

  alike('an exception of a type parser rejects with that error, and the pool goes on', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      const types = {
        getTypeParser: () => () => {
          throw new RangeError('cannot parse');
        },
      };
      const failure = await outcome(pool.query({ text: 'SELECT 1 AS x', types }));
      return [failure, (await pool.query('SELECT 2 AS x')).rows];
    }),
  );

  alike('parsers of the pool get the text of the server', (driver, config) => {
    const types = { getTypeParser: (oid, format) => (text) => [oid, format, text] };
    return withPool(
      driver,
      config({ types }),
      async (pool) =>
        (await pool.query("SELECT 1 AS i, 1.50::numeric AS n, true AS b, '2020-01-02'::date AS d, NULL AS x"))
          .rows,
    );
  });

  alike('a parser set for a client counts for queries of the pool on it', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      pool.on('connect', (client) => client.setTypeParser(23, (text) => `int ${text}`));
      return (await pool.query('SELECT 1::int4 AS x')).rows;
    }),
  );

  alike('a query method set on a client serves queries of the pool', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      const seen = [];
      pool.on('connect', (client) => {
        const { query } = client;
        client.query = function (text, ...rest) {
          seen.push(text);
          return query.call(this, text, ...rest);
        };
      });
      const client = await pool.connect();
      client.release();
      await pool.query('SELECT 1');
      return seen;
    }),
  );

  alike('a patched Client.prototype.query and Pool.prototype.connect are honoured', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const seen = [];
      const base = Object.getPrototypeOf(driver.Pool.prototype);
      const [query, connect] = [driver.Client.prototype.query, base.connect];
      driver.Client.prototype.query = function (...args) {
        seen.push('query');
        return query.apply(this, args);
      };
      base.connect = function (...args) {
        seen.push('connect');
        return connect.apply(this, args);
      };
      try {
        await pool.query('SELECT 1');
      } finally {
        driver.Client.prototype.query = query;
        base.connect = connect;
      }
      return seen;
    }),
  );

  alike('its query asks whatever `connect` it is called with for a client', (driver) => {
    let asked = 0;
    const probe = Object.assign(Object.create(driver.Pool.prototype), {
      Promise,
      connect: () => void asked++,
    });
    driver.Pool.prototype.query.call(probe, 'SELECT 1', () => {});
    return { asked };
  });

  alike('a callback runs where a patched Client.prototype.query wants it to', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const context = new AsyncLocalStorage();
      const { query } = driver.Client.prototype;
      driver.Client.prototype.query = function (...args) {
        const outside = context.getStore();
        return context.run('span', () => {
          const answer = query.apply(this, args);
          const newest = this._queryQueue.at(-1) || this._activeQuery;
          const { callback } = newest;
          newest.callback = (...given) => context.run(outside, callback, ...given);
          return answer;
        });
      };
      try {
        const client = await pool.connect();
        const ways = [(done) => pool.query('SELECT 1', done), (done) => client.query('SELECT 1', done)];
        const seen = [];
        for (const way of ways) {
          await context.run('caller', () =>
            calledBack((done) => way(() => done(seen.push(context.getStore())))),
          );
        }
        client.release();
        return seen;
      } finally {
        driver.Client.prototype.query = query;
      }
    }),
  );

  alike('query_timeout rejects with Query read timeout', (driver, config) =>
    withPool(driver, config({ query_timeout: 50 }), (pool) => outcome(pool.query('SELECT pg_sleep(60)'))),
  );
});

describe('checkouts', () => {
  alike('counts follow each step', (driver, config) =>
    withPool(driver, config({ max: 2 }), async (pool) => {
      const steps = [counts(pool)];
      const first = pool.connect();
      steps.push(counts(pool));
      const a = await first;
      steps.push(counts(pool));
      const b = await pool.connect();
      const third = pool.connect();
      steps.push(counts(pool));
      a.release();
      const c = await third;
      steps.push(counts(pool), [c === a]);
      b.release();
      c.release();
      steps.push(counts(pool));
      return steps;
    }),
  );

  alike('the client that came last goes first, and keeps what its user set on it', (driver, config) =>
    withPool(driver, config({ max: 3 }), async (pool) => {
      const clients = [await pool.connect(), await pool.connect(), await pool.connect()];
      clients.forEach((client, i) => {
        client.mark = i;
      });
      for (const i of [1, 0, 2]) clients[i].release();
      const again = [await pool.connect(), await pool.connect(), await pool.connect()];
      const marks = again.map((client) => client.mark);
      again.forEach((client) => client.release());
      return marks;
    }),
  );

  alike('waiting checkouts are served in order', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      const order = [];
      const first = await pool.connect();
      const waiting = [1, 2, 3].map(async (n) => {
        const client = await pool.connect();
        order.push(n);
        client.release();
      });
      first.release();
      await Promise.all(waiting);
      return order;
    }),
  );

  alike('the callback gets undefined, the client and its release', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const [error, client, release] = await calledBack((done) => pool.connect(done));
      const same = release === client.release;
      release();
      return [error, client instanceof driver.Client, same, counts(pool)];
    }),
  );

  alike('a second release throws', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const client = await pool.connect();
      client.release();
      return thrown(() => client.release());
    }),
  );

  alike('a release with an error closes the client', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const notes = journal(pool, EVENTS);
      const client = await pool.connect();
      client.release(new Error('unfit'));
      await until(() => notes.includes('remove'));
      return [notes, counts(pool)];
    }),
  );

  alike('events come in order and with the client', (driver, config) =>
    withPool(driver, config({ max: 1 }), async (pool) => {
      const notes = journal(pool, EVENTS);
      const kinds = [];
      for (const name of ['connect', 'acquire', 'remove'])
        pool.on(name, (client) => kinds.push(client instanceof driver.Client));
      pool.on('release', (error, client) => kinds.push([error, client instanceof driver.Client]));
      const client = await pool.connect();
      client.release();
      await pool.query('SELECT 1');
      await pool.end();
      await until(() => notes.includes('remove'));
      return [notes, kinds];
    }),
  );

  alike('onConnect is awaited before anybody gets the client', (driver, config) => {
    const onConnect = async (client) => {
      await client.query("SET application_name TO 'greeted'");
    };
    return withPool(driver, config({ onConnect, max: 1 }), async (pool) => {
      const notes = journal(pool, EVENTS);
      const { rows } = await pool.query('SHOW application_name');
      return [rows, [...notes]];
    });
  });

  alike('what onConnect throws is what the checkout rejects with', (driver, config) => {
    const failure = new TypeError('not this one');
    const onConnect = () => {
      throw failure;
    };
    return withPool(driver, config({ onConnect }), async (pool) => {
      const error = await pool.connect().catch((reason) => reason);
      await until(() => pool.totalCount === 0);
      return [error === failure, counts(pool)];
    });
  });

  alike('verify refuses a new client', (driver, config) => {
    const verify = (client, done) => done(new Error('unverified'));
    return withPool(driver, config({ verify }), async (pool) => {
      const failure = await outcome(pool.connect());
      await until(() => pool.totalCount === 0);
      return failure;
    });
  });

  alike('maxUses closes a client at the release that reaches it', (driver, config) =>
    withPool(driver, config({ maxUses: 2, max: 1 }), async (pool) => {
      const pids = [];
      for (let i = 0; i < 4; i++) pids.push((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
      return [pids[0] === pids[1], pids[1] === pids[2], pids[2] === pids[3]];
    }),
  );

  alike('an idle client is closed after idleTimeoutMillis', (driver, config) =>
    withPool(driver, config({ idleTimeoutMillis: 10 }), async (pool) => {
      const notes = journal(pool, ['remove']);
      await pool.query('SELECT 1');
      await until(() => notes.length > 0);
      return [notes, counts(pool)];
    }),
  );

  alike(
    'an idle client outlives the turn in which it was released, however short its timeout',
    (driver, config) =>
      withPool(driver, config({ idleTimeoutMillis: 1 }), async (pool) => {
        const client = await pool.connect();
        client.release();
        const end = Date.now() + 20;
        while (Date.now() < end);
        const then = counts(pool);
        await until(() => pool.totalCount === 0);
        return then;
      }),
  );

  alike('an idle client that dies is reported and removed', (driver, config) =>
    withPool(driver, config({ max: 2 }), async (pool) => {
      const notes = journal(pool, EVENTS);
      const [victim, killer] = [await pool.connect(), await pool.connect()];
      const pid = victim.processID;
      let same = false;
      pool.on('error', (error, client) => {
        same = client === victim && error.client === victim;
      });
      victim.release();
      await killer.query('SELECT pg_terminate_backend($1)', [pid]);
      await until(() => notes.includes('remove'));
      const seen = [...notes];
      killer.release();
      return [seen, same, counts(pool)];
    }),
  );

  alike('a lent client whose connection dies tells its own listener, not the pool', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const notes = journal(pool, ['error', 'remove'], [], 'pool ');
      const client = await pool.connect();
      journal(client, ['error', 'end'], notes, 'client ');
      notes.push(
        (await outcome(client.query('SELECT pg_terminate_backend(pg_backend_pid())'))).error.message,
      );
      await until(() => notes.includes('client end'));
      client.release();
      await until(() => notes.includes('pool remove'));
      return notes;
    }),
  );
});

describe('failing to connect', () => {
  alike('a refused connection rejects with the system error', (driver, config) =>
    withPool(driver, config({ host: '127.0.0.1', port: 1 }), async (pool) => [
      await outcome(pool.connect()),
      await outcome(pool.query('SELECT 1')),
      counts(pool),
    ]),
  );

  alike('an unknown database rejects with the error of the server', (driver, config) =>
    withPool(driver, config({ database: 'there_is_no_such_database' }), async (pool) =>
      outcome(pool.query('SELECT 1')),
    ),
  );

  alike('a callback of a failed checkout gets the error and a release that does nothing', (driver, config) =>
    withPool(driver, config({ host: '127.0.0.1', port: 1 }), async (pool) => {
      const [error, client, release] = await calledBack((done) => pool.connect(done));
      return [error.code, client, typeof release, release()];
    }),
  );

  alike('no free client within connectionTimeoutMillis rejects', (driver, config) =>
    withPool(driver, config({ max: 1, connectionTimeoutMillis: 1000 }), async (pool) => {
      // The limit holds for this one, too.
      const client = await until(() => pool.connect().catch(() => null));
      const failure = await pool.connect().catch((error) => error);
      client.release();
      return failure.message;
    }),
  );

  alike('a malformed connection string throws at the first use', (driver) => {
    const pool = new driver.Pool({ connectionString: 'postgres://user:secret@host:port/database' });
    const failure = thrown(() => void pool.connect());
    return Promise.resolve([failure.type, failure.message, failure.message.includes('secret')]);
  });
});

describe('the end of a pool', () => {
  alike('refuses new work and a second end', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      await pool.query('SELECT 1');
      await pool.end();
      const sync = [];
      pool.connect((error, ...rest) => sync.push(error.message, rest.length));
      return [
        await outcome(pool.query('SELECT 1')),
        await outcome(pool.connect()),
        await outcome(pool.end()),
        sync,
        pool.ending,
        pool.ended,
      ];
    }),
  );

  alike('waits for lent clients', (driver, config) =>
    withPool(driver, config(), async (pool) => {
      const order = [];
      const client = await pool.connect();
      const end = pool.end().then(() => order.push('ended'));
      await client.query('SELECT 1');
      order.push('released');
      client.release();
      await end;
      return [order, pool.ended];
    }),
  );

  alike('of a pool that was never used resolves', async (driver, config) => {
    const pool = new driver.Pool(config());
    const value = await pool.end();
    return { value, ended: pool.ended, ending: pool.ending };
  });

  alike('calls back without an argument', async (driver, config) => {
    const pool = new driver.Pool(config());
    await pool.query('SELECT 1');
    return { args: await calledBack((done) => pool.end(done)) };
  });
});

describe('the life of the process', () => {
  alike('ends with the pool', (driver, config) =>
    inProcess(driver, config(), async ({ Pool }, options) => {
      const pool = new Pool(options);
      console.log((await pool.query('SELECT 1 AS x')).rows);
      await pool.end();
      process.on('exit', () => console.log('exit'));
    }),
  );

  alike('lasts until idle clients have timed out', (driver, config) =>
    inProcess(driver, config({ idleTimeoutMillis: 200 }), async ({ Pool }, options) => {
      const pool = new Pool(options);
      pool.on('remove', () => console.log('removed'));
      await pool.query('SELECT 1');
      process.on('exit', () => console.log('exit'));
    }),
  );

  alike('ends with idle clients under allowExitOnIdle', (driver, config) =>
    inProcess(driver, config({ allowExitOnIdle: true, idleTimeoutMillis: 0 }), async ({ Pool }, options) => {
      const pool = new Pool(options);
      pool.on('remove', () => console.log('removed'));
      console.log((await pool.query('SELECT 1 AS x')).rows);
      const client = await pool.connect();
      console.log((await client.query('SELECT 2 AS x')).rows);
      client.release();
      process.on('exit', () => console.log('exit'));
    }),
  );

  alike('lasts while a client is lent', (driver, config) =>
    inProcess(driver, config({ allowExitOnIdle: true }), async ({ Pool }, options) => {
      const pool = new Pool(options);
      const client = await pool.connect();
      process.on('exit', () => console.log('exit'));
      setTimeout(() => client.release(), 100).unref();
    }),
  );

  alike('ends with a client that is unreferenced', (driver, config) =>
    inProcess(driver, config(), async ({ Client }, options) => {
      const client = new Client(options);
      await client.connect();
      await client.query('SELECT 1');
      client.unref();
      process.on('exit', () => console.log('exit'));
    }),
  );
});

describe('the object itself', () => {
  alike('is a BoundPool that needs new', (driver) => {
    const { Pool } = driver;
    return [Pool.name, Pool.length, thrown(() => Pool()), new Pool() instanceof Pool];
  });

  alike('keeps a copy of its options, secrets hidden', (driver) => {
    const options = {
      password: 'geheim',
      ssl: { key: 'schluessel', rejectUnauthorized: false },
      poolSize: 4,
    };
    const pool = new driver.Pool(options);
    const text = require('node:util').inspect(pool, { depth: 20 }) + JSON.stringify(pool.options);
    return [pool.options, pool.options === options, pool.options.password, /geheim|schluessel/.test(text)];
  });

  alike('has the defaults of pg-pool', (driver) => new driver.Pool().options);
});

describe('what pg-pool keeps to itself', () => {
  const logged = () => {
    const lines = [];
    return { lines, log: (message, ...rest) => lines.push([message, ...rest.map((error) => error.code)]) };
  };

  alike('the log tells of connecting, waiting, lending and ending', async (driver, config) => {
    const { lines, log } = logged();
    const pool = new driver.Pool(config({ max: 1, log }));
    const client = await pool.connect();
    const waiting = pool.connect();
    client.release();
    (await waiting).release();
    await pool.query('SELECT 1');
    await pool.end();
    return lines;
  });

  alike('the log tells of a connection that failed', async (driver, config) => {
    const { lines, log } = logged();
    const pool = new driver.Pool(config({ port: 1, log }));
    await pool.connect().catch(() => {});
    const told = lines.filter(([message]) => message !== 'pulse queue' && message !== 'no queued requests');
    await pool.end();
    return told;
  });

  alike('the log tells why connections are closed', async (driver, config) => {
    const { lines, log } = logged();
    const closed = async (options) => {
      const pool = new driver.Pool(config({ ...options, log }));
      const removed = new Promise((resolve) => pool.once('remove', resolve));
      (await pool.connect()).release();
      await removed;
      await pool.end();
    };
    await closed({ idleTimeoutMillis: 10 });
    await closed({ maxUses: 1 });
    await closed({ maxLifetimeSeconds: 0.05 });
    return lines.map(([message]) => message).filter((message) => /remove|lifetime/.test(message));
  });

  alike('a client is thrown out by hand', (driver, config) =>
    withPool(driver, config({ max: 2 }), async (pool) => {
      const [first, second] = [await pool.connect(), await pool.connect()];
      first.release();
      const removed = [];
      pool.on('remove', (client) => removed.push(client === first ? 'first' : 'second'));
      await new Promise((resolve) => pool._remove(first, resolve));
      const after = counts(pool);
      await new Promise((resolve) => pool._remove(second, resolve));
      return [removed, after, counts(pool)];
    }),
  );
});
