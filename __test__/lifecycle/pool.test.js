'use strict';

// A pool in the life of an application: connections that the server kills, an end in the middle of
// the work, large results beside small ones, notifications, and the caller's async context.

const { AsyncLocalStorage } = require('node:async_hooks');
const { Client, Pool } = require('../..');
const { startPostgres } = require('../support/postgres');
const { admin, asleep, blocked, config, server } = require('../support/server');
const { until } = require('../support/until');
const { outcome, sockets, socketsBackTo, watchUncaught } = require('../faults/trial');

const embedded = server().embedded ? test : test.skip;
let uncaught;
let open;
beforeEach(() => {
  uncaught = watchUncaught();
  open = sockets();
});
afterEach(async () => {
  uncaught.stop();
  expect(uncaught.seen).toEqual([]);
  await socketsBackTo(open);
});

async function withPool(options, body) {
  const pool = new Pool(config(options));
  try {
    return await body(pool);
  } finally {
    if (!pool.ending) await pool.end();
  }
}

const ONE = { rows: [{ one: 1 }] };
const counts = (pool) => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount });

describe('a backend that is terminated', () => {
  const terminate = (pid) => admin('SELECT pg_terminate_backend($1)', [pid]);

  test('while idle is told to listeners and replaced', () =>
    withPool({ max: 1 }, async (pool) => {
      const told = [];
      pool.on('error', (error, client) => told.push([error.code, client.processID]));
      pool.on('remove', (client) => told.push(['removed', client.processID]));
      const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0];
      await terminate(pid);
      await until(() => told.length === 2, { what: 'the loss to be told' });
      expect(told).toEqual([
        ['57P01', pid],
        ['removed', pid],
      ]);
      expect(counts(pool)).toEqual({ total: 0, idle: 0, waiting: 0 });
      expect(await pool.query('SELECT 1 AS one')).toMatchObject(ONE);
    }));

  test('while a query of the pool runs fails that query only', () =>
    withPool({ max: 2, application_name: 'terminated_busy' }, async (pool) => {
      const other = pool.query('SELECT pg_sleep(0.5), 1 AS one');
      const client = await pool.connect();
      client.on('error', () => {});
      const { pid } = (await client.query('SELECT pg_backend_pid() AS pid')).rows[0];
      const busy = outcome(client.query('SELECT pg_sleep(60)'));
      await asleep(pid);
      await terminate(pid);
      expect(await busy).toMatchObject({ error: { code: '57P01' } });
      expect((await outcome(client.query('SELECT 1'))).error.message).toMatch(/not queryable|terminated/);
      client.release();
      expect((await other).rows[0].one).toBe(1);
      expect(await pool.query('SELECT 1 AS one')).toMatchObject(ONE);
      expect(pool.totalCount).toBeLessThanOrEqual(2);
    }));

  test('under a client rejects what it runs and what it was given behind', async () => {
    const client = new Client(config());
    const told = [];
    client.on('error', (error) => told.push(error.message));
    const ended = new Promise((resolve) => client.once('end', resolve));
    await client.connect();
    const ends = ['SELECT pg_sleep(60)', 'SELECT 2', 'SELECT 3'].map((sql) => outcome(client.query(sql)));
    await asleep(client.processID);
    await terminate(client.processID);
    const [running, ...behind] = await Promise.all(ends);
    expect(running).toMatchObject({ error: { code: '57P01' } });
    for (const end of behind) expect(end.error.message).toBe('Connection terminated unexpectedly');
    await ended;
    expect(told).toEqual(['Connection terminated unexpectedly']);
    expect((await outcome(client.query('SELECT 1'))).error.message).toMatch(/not queryable/);
    await client.end();
  });
});

describe('a server of its own', () => {
  let own;
  beforeAll(async () => {
    if (server().embedded) own = await startPostgres({ tls: false });
  });
  afterAll(() => own?.stop('immediate'));
  const to = (more) => {
    const { host, port, user, password, database } = own;
    return { host, port, user, password, database, ...more };
  };

  embedded('whose backend is killed outright is used again after its recovery', async () => {
    const pool = new Pool(to({ max: 3 }));
    pool.on('error', () => {});
    const running = Array.from({ length: 3 }, () => outcome(pool.query('SELECT pg_sleep(600)')));
    const waiting = Array.from({ length: 3 }, () => outcome(pool.query('SELECT 1 AS one')));
    const sleepers = async () =>
      (await own.query("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).rows;
    const [{ pid }] = await until(
      async () => {
        const found = await sleepers();
        return found.length === 3 && found;
      },
      { what: 'three queries to run' },
    );
    process.kill(pid, 'SIGKILL');
    for (const end of await Promise.all(running)) expect(end.error).toBeDefined();
    for (const end of await Promise.all(waiting)) expect(end).not.toBe('hung');
    const back = await until(async () => (await outcome(pool.query('SELECT 1 AS one'))).value, {
      what: 'the recovery',
    });
    expect(back).toMatchObject(ONE);
    expect(pool.totalCount).toBeLessThanOrEqual(3);
    await pool.end();
  });

  embedded('that is shut down and started again serves the same pool', async () => {
    const pool = new Pool(to({ max: 3 }));
    pool.on('error', () => {});
    await Promise.all([pool.query('SELECT 1'), pool.query('SELECT 1')]);
    for (const mode of ['fast', 'immediate']) {
      await own.restart(mode);
      await until(async () => (await outcome(pool.query('SELECT 1 AS one'))).value, {
        what: 'the pool to work',
      });
    }
    await pool.end();
    expect(counts(pool)).toEqual({ total: 0, idle: 0, waiting: 0 });
  });

  embedded(
    'whose connections are all taken refuses in its own words, and the pool works when there is room',
    async () => {
      // Those of the tests before may still be leaving.
      const sessions = "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend'";
      await until(async () => (await own.query(sessions)).rowCount === 1, { what: 'the server to be empty' });
      const hogs = [];
      for (;;) {
        const hog = new Client(to());
        hog.on('error', () => {});
        const end = await outcome(hog.connect());
        if (end.error) break;
        hogs.push(hog);
      }
      const pool = new Pool(to({ max: 3 }));
      const ends = await Promise.all(Array.from({ length: 5 }, () => outcome(pool.query('SELECT 1'))));
      expect(ends.every((end) => end.error?.code === '53300')).toBe(true);
      expect(counts(pool)).toEqual({ total: 0, idle: 0, waiting: 0 });
      await Promise.all(hogs.map((hog) => hog.end()));
      await until(async () => (await outcome(pool.query('SELECT 1 AS one'))).value, { what: 'room' });
      await pool.end();
    },
  );
});

test.each(['SELECT 1', 'SELECT 1 / 0'])(
  'a transaction left open after %s is over for the next borrower of an enhanced pool, who is told so',
  (last) =>
    withPool({ max: 1, enhanced: true }, async (pool) => {
      const client = await pool.connect();
      await client.query('BEGIN');
      await outcome(client.query(last));
      client.release();
      const next = await pool.connect();
      const status = next.getTransactionStatus();
      const { rows } = await next.query('SELECT now() = statement_timestamp() AS alone');
      next.release();
      expect([next === client, status, rows]).toEqual([true, 'I', [{ alone: true }]]);
    }),
);

describe('end()', () => {
  test('lets what runs finish, and rejects what still waits for a connection', () =>
    withPool({ max: 1 }, async (pool) => {
      const { text, free } = await blocked();
      await pool.query('SELECT 1');
      const running = pool.query(`SELECT 1 AS one FROM (${text} OFFSET 0) AS lock`);
      const waiting = [pool.query('SELECT 2'), pool.connect()].map((promise) => outcome(promise));
      const ended = pool.end();
      for (const end of await Promise.all(waiting)) expect(end.error.message).toMatch(/ended|calling end/);
      await free();
      expect((await running).rows[0].one).toBe(1);
      await ended;
      expect(counts(pool)).toEqual({ total: 0, idle: 0, waiting: 0 });
    }));

  test('has the server cancel what still runs when the time to drain is over, and settles', () =>
    withPool({ max: 3, drainTimeoutMillis: 200 }, async (pool) => {
      const mark = `sleeper ${process.pid}`;
      const sleep = `SELECT pg_sleep(600) AS "${mark}"`;
      const client = await pool.connect();
      client.on('error', () => {});
      const ends = [outcome(pool.query(sleep)), outcome(client.query(sleep))];
      const running = async () => {
        const { rows } = await admin('SELECT count(*)::int AS count FROM pg_stat_activity WHERE query = $1', [
          sleep,
        ]);
        return rows[0].count;
      };
      await until(async () => (await running()) === 2);
      await pool.end();
      for (const end of await Promise.all(ends)) expect(end.error.message).toMatch(/^Connection terminated/);
      expect(counts(pool)).toEqual({ total: 0, idle: 0, waiting: 0 });
      await until(async () => (await running()) === 0, { what: 'the server to have stopped' });
    }));

  test('waits for no client whose connection is gone, and hears of its release later', () =>
    withPool({ max: 2 }, async (pool) => {
      const events = [];
      for (const name of ['release', 'remove']) pool.on(name, () => events.push(name));
      const clients = [await pool.connect(), await pool.connect()];
      const lose = async (client) => {
        const errors = [];
        client.on('error', (error) => errors.push(error.message));
        const ended = new Promise((resolve) => client.once('end', resolve));
        await admin('SELECT pg_terminate_backend($1)', [client.processID]);
        await ended;
        expect(errors).toContain('Connection terminated unexpectedly');
      };
      await lose(clients[0]);
      const ended = pool.end();
      await lose(clients[1]);
      await ended;
      expect([pool.ended, pool.totalCount, events]).toEqual([true, 0, []]);
      for (const client of clients) client.release();
      expect(events).toEqual(['release', 'remove', 'release', 'remove']);
      expect(() => clients[0].release()).toThrow('already been released');
    }));

  test('a query in a callback after it is refused, and nothing is thrown', () =>
    withPool({ max: 1 }, async (pool) => {
      const told = await new Promise((resolve) => {
        pool.query('SELECT 1', () => {
          pool.end(() => {});
          pool.query('SELECT 2', (error) => resolve(error.message));
        });
      });
      expect(told).toBe('Cannot use a pool after calling end on the pool');
      await until(() => pool.ended, { what: 'the pool to end' });
    }));

  test('of a client in the middle of its queries settles each of them', async () => {
    const client = new Client(config());
    await client.connect();
    const ends = ['SELECT pg_sleep(30)', 'SELECT 1', 'SELECT 2'].map((sql) => outcome(client.query(sql)));
    await client.end();
    for (const end of await Promise.all(ends)) expect(end.error.message).toBe('Connection terminated');
  });

  test('before the first connection is there settles all', async () => {
    const pool = new Pool(config({ max: 2 }));
    const lent = pool.connect().then((client) => client.release());
    const ends = [pool.query('SELECT 1'), lent, pool.query('SELECT 2')].map((promise) => outcome(promise));
    await pool.end();
    for (const end of await Promise.all(ends)) expect(end).not.toBe('hung');
    const client = new Client(config());
    const connecting = outcome(client.connect());
    await client.end();
    expect((await connecting).error?.message ?? 'connected').toMatch(/Connection terminated|connected/);
  });
});

test('a connection that has opened in this very turn of the event loop is leased, each once', () =>
  withPool({ max: 3, min: 3, enhanced: true }, async (pool) => {
    await pool.query('SELECT 1');
    // Nothing that the core tells is read meanwhile.
    const until = Date.now() + 10_000;
    while (pool.idleCount < 3 && Date.now() < until);
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
    expect(new Set(clients.map(({ processID }) => processID)).size).toBe(3);
    for (const client of clients) {
      expect(await client.query('SELECT 1 AS one')).toMatchObject(ONE);
      client.release();
    }
    expect(counts(pool)).toEqual({ total: 3, idle: 3, waiting: 0 });
  }));

test('200,000 rows arrive whole while small queries are answered beside them', () =>
  withPool({ max: 3 }, async (pool) => {
    const end = await blocked();
    let large = null;
    // Its last row waits until small queries were answered.
    const rows =
      "SELECT n, 'row number ' || n AS text, n * 1.5 AS number FROM generate_series(1, 199999) AS n";
    const arriving = pool
      .query(
        `${rows} UNION ALL SELECT 200000, 'row number 200000', 300000 FROM (${end.text} OFFSET 0) AS lock`,
      )
      .then((result) => (large = result));
    let between = 0;
    while (large === null) {
      expect((await pool.query('SELECT $1::int AS echo', [between])).rows).toEqual([{ echo: between }]);
      between += 1;
      if (between === 10) await end.free();
    }
    await arriving;
    expect(between).toBeGreaterThanOrEqual(10);
    expect(large.rowCount).toBe(200_000);
    large.rows.forEach((row, i) => {
      if (row.n !== i + 1 || row.text !== `row number ${i + 1}` || Number(row.number) !== (i + 1) * 1.5)
        throw new Error(`row ${i} is wrong`);
    });
  }));

test('notifications arrive in order, on the client that listens and on no other', async () => {
  const [listener, deaf, speaker] = [new Client(config()), new Client(config()), new Client(config())];
  const heard = [];
  listener.on('notification', ({ channel, payload, processId }) => heard.push([channel, payload, processId]));
  deaf.on('notification', () => heard.push('heard by the deaf'));
  await Promise.all([listener, deaf, speaker].map((client) => client.connect()));
  await listener.query('LISTEN "A channel"');
  for (let i = 0; i < 50; i++) await speaker.query('SELECT pg_notify($1, $2)', ['A channel', `number ${i}`]);
  await until(() => heard.length === 50, { what: 'fifty notifications' });
  expect(heard).toEqual(
    Array.from({ length: 50 }, (_, i) => ['A channel', `number ${i}`, speaker.processID]),
  );
  await Promise.all([listener, deaf, speaker].map((client) => client.end()));
});

test('callbacks and awaits run in the async context of their caller', () =>
  withPool({ max: 2 }, async (pool) => {
    const storage = new AsyncLocalStorage();
    const seen = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        storage.run(i, async () => {
          await pool.query('SELECT 1');
          const awaited = storage.getStore();
          const called = await new Promise((resolve) => {
            pool.query('SELECT 1', () => resolve(storage.getStore()));
          });
          const client = await pool.connect();
          const lent = storage.getStore();
          await client.query('SELECT 1');
          const asked = await new Promise((resolve) => {
            client.query('SELECT 1', () => resolve(storage.getStore()));
          });
          client.release();
          const connected = await new Promise((resolve) => {
            pool.connect((error, other, release) => {
              release();
              resolve(storage.getStore());
            });
          });
          return { i, awaited, called, lent, asked, connected };
        }),
      ),
    );
    seen.forEach((one, i) =>
      expect(one).toEqual({ i, awaited: i, called: i, lent: i, asked: i, connected: i }),
    );
  }));
