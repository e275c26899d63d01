'use strict';

// The server crashes while a COMMIT is under way. It forgets what it had not written to disk, the ids of
// those transactions included, and gives them to others: that such an id has committed says nothing then.

const { Client, Pool } = require('../..');
const { startPostgres } = require('../support/postgres');
const { Proxy } = require('../support/proxy');
const { server } = require('../support/server');
const { until } = require('../support/until');

const embedded = server().embedded && process.platform !== 'win32' ? test : test.skip;
let own;
let proxy;
let pool;

beforeEach(async () => {
  // Nothing is written to disk but by a COMMIT: no process has the log written but by full pages, and one has just begun.
  const settings = { wal_writer_delay: '10s', autovacuum: 'off', wal_level: 'minimal', max_wal_senders: 0 };
  own = await startPostgres({ tls: false, settings });
  await own.query('CREATE TABLE ledger (key int NOT NULL)');
  await own.query('SELECT pg_switch_wal()');
  const { host, port, user, password, database } = own;
  proxy = await Proxy.start({ host, port });
  pool = new Pool({ host: proxy.host, port: proxy.port, user, password, database, retryAttempts: 3 });
});
afterEach(async () => {
  await pool.end();
  await proxy.stop();
  await own.stop('immediate');
});

const isUp = () =>
  own.query('SELECT 1').then(
    () => true,
    () => false,
  );

/** All connections are dropped and what is not on disk is lost, as when the machine fails. */
async function crash() {
  const { host, port, user, password, database } = own;
  const [victim, witness] = [1, 2].map(() => new Client({ host, port, user, password, database }));
  // The server drops it when it has noticed the crash, and is not up again before it has recovered.
  const dropped = new Promise((resolve) => witness.once('error', resolve));
  for (const client of [victim, witness]) client.on('error', () => {});
  await Promise.all([victim.connect(), witness.connect()]);
  process.kill(victim.processID, 'SIGKILL');
  await dropped;
  await until(isUp, { what: 'the server to recover' });
}

async function keys() {
  const { rows } = await own.query('SELECT key FROM ledger ORDER BY key');
  return rows.map(({ key }) => key);
}

/** A transaction whose first COMMIT is held at `place`; `meanwhile(xid)` happens before anybody can ask for it. */
async function commitThrough(place, meanwhile) {
  let runs = 0;
  let xid;
  const held = new Promise((resolve) => proxy.once('fired', resolve));
  const committed = pool.transaction(
    async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES (1)');
      if (runs > 1) return;
      const { rows } = await client.query('SELECT pg_current_xact_id()::text AS xid');
      xid = rows[0].xid;
      proxy.when({ ...place, nth: 2 }, 'stall');
    },
    { retryDelay: 5 },
  );
  await held;
  await proxy.refuse();
  await meanwhile(xid);
  await proxy.listen();
  proxy.cut();
  await committed;
  return runs;
}

describe('a COMMIT under way as the server crashes', () => {
  embedded('is not taken for done because another transaction has got its id', async () => {
    const runs = await commitThrough({ direction: 'toServer', message: 'Q' }, async (xid) => {
      await crash();
      const other = await own.query(
        'INSERT INTO ledger VALUES (2) RETURNING pg_current_xact_id()::text AS xid',
      );
      expect(other.rows[0].xid).toBe(xid);
    });
    expect(await keys()).toEqual([1, 2]);
    expect(runs).toBe(2);
  });

  embedded('runs again when nobody has its id any more', async () => {
    const runs = await commitThrough({ direction: 'toServer', message: 'Q' }, crash);
    expect(await keys()).toEqual([1]);
    expect(runs).toBe(2);
  });

  embedded('is a success when it was on disk', async () => {
    const runs = await commitThrough({ direction: 'toClient', message: 'C' }, async () => {
      await until(async () => (await keys()).length === 1);
      await crash();
      await own.query('INSERT INTO ledger VALUES (2)');
    });
    expect(await keys()).toEqual([1, 2]);
    expect(runs).toBe(1);
  });

  embedded('is a success when the server was restarted in order after it', async () => {
    const runs = await commitThrough({ direction: 'toClient', message: 'C' }, async () => {
      await until(async () => (await keys()).length === 1);
      await own.restart('fast');
    });
    expect(await keys()).toEqual([1]);
    expect(runs).toBe(1);
  });
});
