'use strict';

// When a process ends by itself: after `end()`, and with idle connections exactly when it would with
// pg. A process that must stay is seen to be alive after one that must go, started later, has gone.

const { start, killAll, WELL, drivers } = require('./child');

const LONG = 600_000;
afterAll(killAll);

describe.each(drivers)('with %s', (driver) => {
  const leaves = {
    'after pool.end()': `
      const pool = new driver.Pool(config());
      say((await pool.query('SELECT 1 AS one')).rows);
      await pool.end();`,
    'after pool.end() with connections lent and waiting': `
      const pool = new driver.Pool(config({ max: 1 }));
      const client = await pool.connect();
      pool.query('SELECT 1').catch(() => {});
      setTimeout(() => client.release(), 50);
      await pool.end();
      say([{ one: 1 }]);`,
    'after client.end()': `
      const client = new driver.Client(config());
      await client.connect();
      say((await client.query('SELECT 1 AS one')).rows);
      await client.end();`,
    'when no pool was ever used': `new driver.Pool(config()); say([{ one: 1 }]);`,
    'when the idle connections have been closed by idleTimeoutMillis': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: 100 }));
      say((await pool.query('SELECT 1 AS one')).rows);`,
    'with idle connections and allowExitOnIdle': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: ${LONG}, allowExitOnIdle: true }));
      say((await pool.query('SELECT 1 AS one')).rows);`,
    'with idle connections and allowExitOnIdle after a checkout': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: ${LONG}, allowExitOnIdle: true }));
      const client = await pool.connect();
      say((await client.query('SELECT 1 AS one')).rows);
      client.release();`,
    'with allowExitOnIdle and no idle timeout at all': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: 0, allowExitOnIdle: true }));
      say((await pool.query('SELECT 1 AS one')).rows);`,
    'with a client that is not referenced': `
      const client = new driver.Client(config());
      await client.connect();
      say((await client.query('SELECT 1 AS one')).rows);
      client.unref();`,
    'after a connect that failed': `
      const pool = new driver.Pool(config({ port: 1 }));
      await pool.query('SELECT 1').catch(() => say([{ one: 1 }]));`,
    'after a login that failed': `
      const pool = new driver.Pool(config({ database: 'nowhere' }));
      await pool.query('SELECT 1').catch(() => say([{ one: 1 }]));`,
    'after pool.end(), though a client whose connection is gone was not given back': `
      const pool = new driver.Pool(config({ max: 2 }));
      const clients = [await pool.connect(), await pool.connect()];
      for (const client of clients) client.on('error', () => {});
      const lose = (client) => {
        client.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
        return new Promise((resolve) => client.once('end', resolve));
      };
      await lose(clients[0]);
      pool.end();
      await lose(clients[1]);
      say([{ one: 1 }]);`,
    'only after the query that nobody awaits': `
      const pool = new driver.Pool(config({ allowExitOnIdle: true }));
      pool.query('SELECT pg_sleep(0.3), 1 AS one', (error, result) => say([{ one: result.rows[0].one }]));`,
  };
  const stays = {
    'with idle connections and a long idleTimeoutMillis': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: ${LONG} }));
      say((await pool.query('SELECT 1 AS one')).rows);`,
    'with idle connections and no idle timeout': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: 0 }));
      say((await pool.query('SELECT 1 AS one')).rows);`,
    'with a lent connection, allowExitOnIdle or not': `
      const pool = new driver.Pool(config({ idleTimeoutMillis: ${LONG}, allowExitOnIdle: true }));
      const client = await pool.connect();
      say((await client.query('SELECT 1 AS one')).rows);`,
    'with a client that is connected': `
      const client = new driver.Client(config());
      await client.connect();
      say((await client.query('SELECT 1 AS one')).rows);`,
    'with a client that listens': `
      const client = new driver.Client(config());
      await client.connect();
      await client.query('LISTEN something');
      say([{ one: 1 }]);`,
    'with a client that is referenced again': `
      const client = new driver.Client(config());
      await client.connect();
      client.unref();
      client.ref();
      say((await client.query('SELECT 1 AS one')).rows);`,
  };

  test.each(Object.entries(leaves))('a process ends %s', async (_, body) => {
    const child = start(driver, body);
    expect(await child.ended()).toEqual(WELL);
    expect(child.lines).toEqual([[{ one: 1 }]]);
    expect(child.errors).toBe('');
  });

  test('a process stays with idle, lent, listening connections', async () => {
    const children = Object.values(stays).map((body) => start(driver, body));
    await Promise.all(children.map((child) => child.said()));
    const later = start(driver, leaves['with idle connections and allowExitOnIdle']);
    expect(await later.ended()).toEqual(WELL);
    const ends = Object.keys(stays).map((name, i) => [name, children[i].end, children[i].lines[0]]);
    for (const child of children) child.kill();
    expect(ends).toEqual(Object.keys(stays).map((name) => [name, null, [{ one: 1 }]]));
  });

  test('process.exit() in the middle of a load ends it at once, with its code', async () => {
    const child = start(
      driver,
      `
      const pool = new driver.Pool(config({ max: 10 }));
      let answered = 0;
      const run = async () => {
        for (;;) {
          await pool.query('SELECT * FROM generate_series(1, 2000) AS n, repeat(n::text, 20) AS text');
          if (++answered === 50) process.exit(7);
        }
      };
      for (let i = 0; i < 30; i++) run();
    `,
    );
    expect(await child.ended()).toEqual({ code: 7, signal: null });
    expect(child.errors).toBe('');
  });

  test('an exception in a callback is uncaught, and the pool goes on if the application does', async () => {
    const child = start(
      driver,
      `
      const caught = [];
      process.on('uncaughtException', (error) => caught.push(error.message));
      const pool = new driver.Pool(config({ max: 1 }));
      const client = new driver.Client(config());
      await client.connect();
      await new Promise((resolve) => {
        pool.query('SELECT 1', () => { setImmediate(resolve); throw new Error('of the pool'); });
      });
      await new Promise((resolve) => {
        client.query('SELECT 1', () => { setImmediate(resolve); throw new Error('of the client'); });
      });
      const { rows } = await client.query('SELECT 1 AS one');
      await client.end();
      say([caught, rows, (await pool.query('SELECT 2 AS two')).rows]);
      await pool.end();
    `,
    );
    expect(await child.ended()).toEqual(WELL);
    expect(child.lines).toEqual([[['of the pool', 'of the client'], [{ one: 1 }], [{ two: 2 }]]]);
  });

  test('an exception in a callback that nobody catches ends the process as any other', async () => {
    const child = start(
      driver,
      `
      const pool = new driver.Pool(config());
      pool.query('SELECT 1', () => { throw new Error('of the callback'); });
    `,
    );
    expect((await child.ended()).code).toBe(1);
    expect(child.errors).toContain('of the callback');
  });

  test('a rejection that nobody handles ends the process as any other', async () => {
    const child = start(
      driver,
      `
      const pool = new driver.Pool(config());
      pool.query('SELECT nonsense');
    `,
    );
    expect((await child.ended()).code).toBe(1);
    expect(child.errors).toContain('nonsense');
  });
});

test('a process without listeners for `error` outlives the death of its idle connections', async () => {
  const child = start(
    'pgpool-rs',
    `
    const pool = new driver.Pool(config({ max: 2, application_name: 'outlives' }));
    const killer = new driver.Client(config({ application_name: 'killer' }));
    await killer.connect();
    await Promise.all([pool.query('SELECT pg_sleep(0.1)'), pool.query('SELECT pg_sleep(0.1)')]);
    await killer.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'outlives'");
    while (pool.totalCount > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    say((await pool.query('SELECT 1 AS one')).rows);
    await killer.end();
    await pool.end();
  `,
  );
  expect(await child.ended()).toEqual(WELL);
  expect(child.lines).toEqual([[{ one: 1 }]]);
});

test('a pool that nobody refers to any more is collected once its connections are closed', async () => {
  const child = start(
    'pgpool-rs',
    `require('node:v8').setFlagsFromString('--expose-gc');
     const collect = require('node:vm').runInNewContext('gc');
     let gone = 0;
     const graves = new FinalizationRegistry(() => gone++);
     const use = async () => {
       const pool = new driver.Pool(config({ idleTimeoutMillis: 1 }));
       graves.register(pool);
       await pool.query('SELECT 1');
     };
     for (let i = 0; i < 5; i++) await use();
     // The one used last may still be on the stack.
     for (let i = 0; i < 2000 && gone < 4; i++) {
       await new Promise((resolve) => setTimeout(resolve, 10));
       collect();
     }
     say(gone >= 4);`,
  );
  expect(await child.ended()).toEqual(WELL);
  expect(child.lines).toEqual([true]);
});
