'use strict';

// The answer to a COMMIT is lost, and another server takes over before anybody can ask what became of it. That server
// knows it only if its log holds that of the first one up to the transaction.

const { Pool, CommitOutcomeUnknownError } = require('../..');
const { startPostgres } = require('../support/postgres');
const { Proxy } = require('../support/proxy');
const { server } = require('../support/server');
const { until } = require('../support/until');

const embedded = server().embedded && process.platform !== 'win32' ? test : test.skip;
let primary;
let next;
let proxy;
let pool;

async function open(takesOver) {
  primary = await startPostgres({ tls: false });
  await primary.query('CREATE TABLE ledger (key int NOT NULL)');
  next = await takesOver();
  await until(async () => (await next.query("SELECT to_regclass('ledger') AS there")).rows[0].there);
  const { host, port, user, password, database } = primary;
  proxy = await Proxy.start({ host, port });
  pool = new Pool({
    host: [proxy.host, next.host],
    port: [proxy.port, next.port],
    user,
    password,
    database,
    targetSessionAttrs: 'read-write',
    retryAttempts: 3,
  });
}

afterEach(async () => {
  await pool?.end();
  await proxy?.stop();
  await next?.stop('immediate');
  await primary?.stop('immediate');
});

const standby = () => startPostgres({ standbyOf: primary });

const ANSWER = { direction: 'toClient', message: 'C' };
const COMMIT = { direction: 'toServer', message: 'Q' };

/** A transaction whose first COMMIT is held at `place` until `takeOver(xid)` is over; how often it ran, or its error. */
async function commitThrough(place, takeOver, before = () => {}) {
  let runs = 0;
  let xid;
  const held = new Promise((resolve) => proxy.once('fired', resolve));
  const committed = pool.transaction(
    async (client) => {
      runs += 1;
      if (runs === 1) await before();
      await client.query('INSERT INTO ledger VALUES (1)');
      if (runs > 1) return;
      const { rows } = await client.query('SELECT pg_current_xact_id()::text AS xid');
      xid = rows[0].xid;
      proxy.when({ ...place, nth: 2 }, 'stall');
    },
    { retryDelay: 5 },
  );
  await held;
  if (place === ANSWER) await until(async () => (await keys(primary)).length > 0);
  await proxy.refuse();
  await takeOver(xid);
  proxy.cut();
  return committed.then(
    () => runs,
    (error) => error,
  );
}

async function keys(asked) {
  const { rows } = await asked.query('SELECT key FROM ledger ORDER BY key');
  return rows.map(({ key }) => key);
}

/** The first server ends in order, when the standby has all of its log, and the standby takes over. */
async function switchOver() {
  primary.kill('SIGINT');
  await primary.exited();
  await promote();
}

async function promote() {
  await next.query('SELECT pg_promote()');
}

/** From now on the standby gets nothing of the first server's log. */
async function detach() {
  await next.query("ALTER SYSTEM SET primary_conninfo = ''");
  await next.query('SELECT pg_reload_conf()');
  await until(async () => (await next.query('SELECT 1 FROM pg_stat_wal_receiver')).rowCount === 0);
}

/** The first server dies, and the standby takes over. */
async function failOver() {
  primary.kill('SIGKILL');
  await primary.exited();
  await promote();
}

/** Has another transaction end on the server that took over for each id up to `xid`. */
async function useIds(xid, end) {
  const text = `BEGIN; INSERT INTO ledger VALUES (2); SELECT pg_current_xact_id()::text AS xid; ${end}`;
  await until(async () => BigInt((await next.query(text))[2].rows[0].xid) >= BigInt(xid));
}

describe('a COMMIT under way in a planned switchover', () => {
  embedded('is a success when the first server has committed', async () => {
    await open(standby);
    expect(await commitThrough(ANSWER, switchOver)).toBe(1);
    expect(await keys(next)).toEqual([1]);
  });

  embedded('runs again on the new one when the first server has not seen it', async () => {
    await open(standby);
    expect(await commitThrough(COMMIT, switchOver)).toBe(2);
    expect(await keys(next)).toEqual([1]);
  });

  embedded('is unknown when the new server has crashed since', async () => {
    await open(standby);
    const error = await commitThrough(ANSWER, async () => {
      await switchOver();
      await next.restart('immediate');
    });
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError);
    expect(await keys(next)).toEqual([1]);
  });
});

describe('a COMMIT under way in a failover', () => {
  embedded('is not taken for done because another transaction of the new server has its id', async () => {
    await open(standby);
    const takeOver = async (xid) => {
      await failOver();
      await useIds(xid, 'COMMIT');
    };
    expect(await commitThrough(ANSWER, takeOver, detach)).toBe(2);
    expect((await keys(next)).filter((key) => key === 1)).toEqual([1]);
  });

  embedded('is a success when it had reached the new server', async () => {
    await open(standby);
    const takeOver = async () => {
      await until(async () => (await keys(next)).length > 0);
      await failOver();
    };
    expect(await commitThrough(ANSWER, takeOver)).toBe(1);
    expect(await keys(next)).toEqual([1]);
  });
});

embedded(
  'a COMMIT is not taken for aborted because a server of another kin has rolled back its id',
  async () => {
    await open(async () => {
      const other = await startPostgres({ tls: false });
      await other.query(`ALTER USER ${other.user} PASSWORD '${primary.password}'`);
      other.password = primary.password;
      // The ids of the first server are ahead.
      for (let i = 0; i < 10; i++) await primary.query('SELECT pg_current_xact_id()');
      await other.query('CREATE TABLE ledger (key int NOT NULL)');
      return other;
    });
    const takeOver = async (xid) => {
      primary.kill('SIGKILL');
      await primary.exited();
      await useIds(xid, 'ROLLBACK');
    };
    expect(await commitThrough(ANSWER, takeOver)).toBeInstanceOf(CommitOutcomeUnknownError);
    expect(await keys(next)).toEqual([]);
  },
);
