'use strict';

// A primary whose processes stand still: its kernel takes connections and bytes, and nobody answers. A pool of two hosts
// leaves it when the other one serves, and does not leave a host that is only slow.

const { Pool } = require('../..');
const { startPostgres } = require('../support/postgres');
const { signalAll } = require('../support/server-processes');
const { until } = require('../support/until');

const embedded = process.platform === 'linux' ? describe : describe.skip;

embedded('of two hosts', () => {
  let primary;
  let standby;
  let pool;

  beforeAll(async () => {
    primary = await startPostgres();
    await primary.query('CREATE TABLE ledger (key int PRIMARY KEY)');
    standby = await startPostgres({ standbyOf: primary });
    await until(async () => (await standby.query("SELECT to_regclass('ledger') AS there")).rows[0].there, {
      what: 'the standby to catch up',
    });
    const { user, password, database } = primary;
    pool = new Pool({
      host: `${primary.host},${standby.host}`,
      port: `${primary.port},${standby.port}`,
      user,
      password,
      database,
      max: 4,
      targetSessionAttrs: 'read-write',
      failFast: false,
      connectionTimeoutMillis: 2000,
      acquireTimeoutMillis: 60_000,
      retryAttempts: 3,
    });
    pool.on('error', () => {});
  });

  afterAll(async () => {
    signalAll(primary, 'SIGCONT');
    await pool.end();
    await standby.stop('immediate');
    await primary.stop('immediate');
  });

  test('a statement that runs for long stays on its connection', async () => {
    const client = await pool.connect();
    const { processID } = client;
    await client.query('SELECT pg_sleep(4)');
    expect((await client.query('SELECT pg_backend_pid() AS pid')).rows).toEqual([{ pid: processID }]);
    client.release();
  });

  test('the frozen primary is left when the standby is promoted, and every write is settled', async () => {
    const outcomes = { acknowledged: [], failed: [] };
    let running = true;
    let next = 0;
    const write = (key) =>
      pool.query('INSERT INTO ledger VALUES ($1)', [key]).then(
        () => outcomes.acknowledged.push(key),
        (error) => outcomes.failed.push([key, error]),
      );
    const writer = async () => {
      while (running) await write(next++);
    };
    const writers = Array.from({ length: 12 }, writer);
    await until(() => outcomes.acknowledged.length > 50, { what: 'writes to flow' });

    signalAll(primary, 'SIGSTOP');
    const repeated = pool.query({ text: 'SELECT 5 AS n', readOnly: true });
    const frozenAt = outcomes.acknowledged.length;
    await standby.query('SELECT pg_promote()');
    await until(() => outcomes.acknowledged.length > frozenAt + 50, {
      what: 'writes to flow again',
      timeout: 15_000,
    });
    running = false;
    await Promise.all(writers);

    expect((await repeated).rows).toEqual([{ n: 5 }]);
    const { rows } = await standby.query('SELECT key FROM ledger');
    const stored = new Set(rows.map(({ key }) => key));
    const later = outcomes.acknowledged.slice(frozenAt);
    expect(later.filter((key) => !stored.has(key))).toEqual([]);
    // What was under way on the frozen primary, and nothing else.
    expect(outcomes.failed.length).toBeLessThanOrEqual(4);
    for (const [, error] of outcomes.failed) expect(error.message).toMatch(/terminated unexpectedly/);
  });
});
