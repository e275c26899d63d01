'use strict';

// Transactions handed over as a whole: retried while the server has rolled back, and never guessed at when
// the answer to COMMIT is lost. A proxy cuts at chosen messages.

const {
  Pool,
  CommitOutcomeUnknownError,
  executeQueryWithRetry,
  executeTransactionWithRetry,
} = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');
const { until } = require('../support/until');

let database;
let direct;
let proxy;
let pools = [];
let nextKey = 1;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  await direct.query('CREATE TABLE ledger (key int NOT NULL)');
  await direct.query('CREATE TABLE doctors (name text PRIMARY KEY, on_call boolean NOT NULL)');
  await direct.query(
    'CREATE TABLE orders (id int PRIMARY KEY, parent int REFERENCES orders DEFERRABLE INITIALLY DEFERRED)',
  );
});
afterAll(async () => {
  await direct.end();
  await database.drop();
});

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
});
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.ending || pool.end()));
  pools = [];
  await proxy.stop();
});

/** A pool through the proxy; its retries are gathered in `pool.retries`. */
function proxied(options) {
  const pool = new Pool(database.config({ host: proxy.host, port: proxy.port, ...options }));
  pool.retries = [];
  pool.on('retry', (retry) => pool.retries.push(retry));
  pools.push(pool);
  return pool;
}

async function count(key) {
  const { rows } = await direct.query('SELECT count(*)::int AS count FROM ledger WHERE key = $1', [key]);
  return rows[0].count;
}

const insert = (client, key) => client.query('INSERT INTO ledger VALUES ($1)', [key]);
const quick = { retryDelay: 5 };

describe('a transaction', () => {
  test('commits what its function did and resolves with what it returned', async () => {
    const pool = proxied();
    const key = nextKey++;
    await expect(pool.transaction(async (client) => (await insert(client, key)).rowCount)).resolves.toBe(1);
    expect(await count(key)).toBe(1);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  test('rolls back when its function throws, and rejects with the very error', async () => {
    const pool = proxied();
    const key = nextKey++;
    const error = new Error('not enough seats');
    const failing = pool.transaction(async (client) => {
      await insert(client, key);
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    expect(await count(key)).toBe(0);
    expect(pool.retries).toEqual([]);
    expect(pool.idleCount).toBe(1);
  });

  test('has the isolation level and access mode that were asked for', async () => {
    const pool = proxied();
    const modes = await pool.transaction(
      async (client) => {
        const level = await client.query('SHOW transaction_isolation');
        const readOnly = await client.query('SHOW transaction_read_only');
        return [level.rows[0].transaction_isolation, readOnly.rows[0].transaction_read_only];
      },
      { isolationLevel: 'SERIALIZABLE', readOnly: true },
    );
    expect(modes).toEqual(['serializable', 'on']);
    await expect(pool.transaction(async () => {}, { isolationLevel: 'chaos' })).rejects.toThrow(TypeError);
    await expect(pool.transaction('BEGIN')).rejects.toThrow(TypeError);
  });

  test('whose COMMIT is answered by ROLLBACK is an error', async () => {
    const pool = proxied();
    const key = nextKey++;
    const swallowed = pool.transaction(async (client) => {
      await insert(client, key);
      await client.query('SELECT 1 / 0').catch(() => {});
    });
    await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' });
    expect(await count(key)).toBe(0);
  });

  test('that its function ended by itself is an error', async () => {
    const pool = proxied();
    await expect(pool.transaction((client) => client.query('COMMIT'))).rejects.toMatchObject({
      code: 'TRANSACTION_ENDED',
    });
  });

  test('keeps its client: the function cannot release it', async () => {
    const pool = proxied();
    await expect(pool.transaction(async (client) => client.release())).rejects.toThrow(
      'is released when the transaction ends',
    );
    expect(pool.idleCount).toBe(1);
  });

  test('runs again after a serialization failure', async () => {
    const pool = proxied();
    await direct.query("INSERT INTO doctors VALUES ('a', true), ('b', true)");
    let together = 0;
    let committed = 0;
    const goHome = async (name) => {
      let runs = 0;
      const end = await pool.transaction(
        async (client) => {
          // It fails because the other one commits, which may be a moment before that is seen.
          if (runs++ > 0) await until(() => committed > 0);
          const { rows } = await client.query('SELECT count(*)::int AS n FROM doctors WHERE on_call');
          together += 1;
          await until(() => together >= 2);
          if (rows[0].n < 2) return 'stays';
          await client.query('UPDATE doctors SET on_call = false WHERE name = $1', [name]);
          return 'home';
        },
        { isolationLevel: 'serializable', ...quick },
      );
      committed += 1;
      return end;
    };
    const outcomes = await Promise.all([goHome('a'), goHome('b')]);
    expect(outcomes.sort()).toEqual(['home', 'stays']);
    expect(pool.retries).toEqual([
      expect.objectContaining({ code: '40001', phase: 'transaction', attempt: 1, of: 3 }),
    ]);
  });

  test('is not run again for an error that would come again', async () => {
    const pool = proxied();
    let runs = 0;
    const orphan = pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO orders VALUES (1, 2)');
    }, quick);
    // The constraint is checked by COMMIT.
    await expect(orphan).rejects.toMatchObject({ code: '23503' });
    expect(runs).toBe(1);
  });

  test('that lost its connection before COMMIT runs again as a whole', async () => {
    const pool = proxied();
    const key = nextKey++;
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await insert(client, key);
      if (runs === 1) proxy.cut();
      await client.query('SELECT 1');
    }, quick);
    expect(runs).toBe(2);
    expect(await count(key)).toBe(1);
    expect(pool.retries).toEqual([expect.objectContaining({ phase: 'transaction' })]);
  });

  test('whose backend is terminated runs again as a whole', async () => {
    const pool = proxied();
    const key = nextKey++;
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await insert(client, key);
      if (runs === 1) await direct.query('SELECT pg_terminate_backend($1)', [client.processID]);
      await client.query('SELECT 1');
    }, quick);
    expect(runs).toBe(2);
    expect(await count(key)).toBe(1);
  });

  test('whose function fails by itself after a loss does not run again, whatever words it chose', async () => {
    const pool = proxied();
    const own = new Error('Connection terminated by the order desk');
    let runs = 0;
    const failed = pool.transaction(async (client) => {
      runs += 1;
      proxy.cut();
      await client.query('SELECT 1').catch(() => {});
      throw own;
    }, quick);
    await expect(failed).rejects.toBe(own);
    expect(runs).toBe(1);
  });

  test('without retries fails with the first error', async () => {
    const pool = proxied();
    const lost = pool.transaction(
      async (client) => {
        proxy.cut();
        await client.query('SELECT 1');
      },
      { retries: 0 },
    );
    await expect(lost).rejects.toThrow('Connection terminated unexpectedly');
    expect(pool.retries).toEqual([]);
  });

  test('with retries switched off fails with the first error', async () => {
    const pool = proxied({ retry: 'off' });
    const lost = pool.transaction(async (client) => {
      proxy.cut();
      await client.query('SELECT 1');
    }, quick);
    await expect(lost).rejects.toThrow('Connection terminated unexpectedly');
  });

  test('past its deadline is cut off and rolled back', async () => {
    const pool = proxied();
    await pool.query('SELECT 1');
    const key = nextKey++;
    const slow = pool.transaction(
      async (client) => {
        await insert(client, key);
        await client.query('SELECT pg_sleep(600)');
      },
      { deadline: 1000 },
    );
    await expect(slow).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(await count(key)).toBe(0);
  });
});

// Inside the function the next simple queries are the question for the transaction's id, and COMMIT.
describe('a COMMIT whose answer is lost', () => {
  test('is a success when the server has committed', async () => {
    const pool = proxied();
    const key = nextKey++;
    let runs = 0;
    const value = await pool.transaction(async (client) => {
      runs += 1;
      await insert(client, key);
      proxy.cutOnMessage('toClient', 'C', { nth: 2 });
      return 'kept';
    }, quick);
    expect(value).toBe('kept');
    expect(runs).toBe(1);
    expect(await count(key)).toBe(1);
  });

  test('runs again when the server has not seen it', async () => {
    const pool = proxied();
    const key = nextKey++;
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await insert(client, key);
      if (runs === 1) proxy.cutOnMessage('toServer', 'Q', { nth: 2 });
    }, quick);
    expect(runs).toBe(2);
    expect(await count(key)).toBe(1);
    expect(pool.retries).toEqual([expect.objectContaining({ phase: 'commit', attempt: 1, of: 3 })]);
  });

  test('is asked for until the server is back', async () => {
    const pool = proxied();
    const key = nextKey++;
    proxy.once('fired', () => proxy.refuse());
    const committed = pool.transaction(async (client) => {
      await insert(client, key);
      proxy.cutOnMessage('toClient', 'C', { nth: 2 });
      return 'kept';
    }, quick);
    await until(() => count(key));
    await proxy.listen();
    await expect(committed).resolves.toBe('kept');
  });

  test('is unknown when nobody can be asked until the deadline', async () => {
    const pool = proxied();
    await pool.query('SELECT 1');
    const key = nextKey++;
    proxy.once('fired', () => proxy.refuse());
    const committed = pool.transaction(
      async (client) => {
        await insert(client, key);
        proxy.cutOnMessage('toClient', 'C', { nth: 2 });
      },
      { ...quick, deadline: 3000 },
    );
    const error = await committed.then(
      () => undefined,
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError);
    expect(error).toMatchObject({
      code: 'COMMIT_OUTCOME_UNKNOWN',
      transactionId: expect.stringMatching(/^\d+$/),
    });
    expect(error.cause).toBeInstanceOf(Error);
    expect(await count(key)).toBe(1);
  });
});

describe('the functions with retry', () => {
  test('executeTransactionWithRetry runs all statements and resolves with their results', async () => {
    const pool = proxied();
    const key = nextKey++;
    const queries = [
      { query: 'INSERT INTO ledger VALUES ($1)', values: [key] },
      { query: 'SELECT key FROM ledger WHERE key = $1', values: [key] },
    ];
    const [inserted, selected] = await executeTransactionWithRetry(queries, 3, 5, { pool });
    expect(inserted.rowCount).toBe(1);
    expect(selected.rows).toEqual([{ key }]);
  });

  test('executeTransactionWithRetry leaves nothing behind when a statement fails', async () => {
    const pool = proxied();
    const key = nextKey++;
    const queries = [{ query: 'INSERT INTO ledger VALUES ($1)', values: [key] }, { query: 'SELECT 1 / 0' }];
    await expect(executeTransactionWithRetry(queries, 3, 5, { pool })).rejects.toMatchObject({
      code: '22012',
    });
    expect(await count(key)).toBe(0);
  });

  test('executeTransactionWithRetry runs again after a cut', async () => {
    const pool = proxied();
    const key = nextKey++;
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toServer', 'P');
    await executeTransactionWithRetry([{ query: 'INSERT INTO ledger VALUES ($1)', values: [key] }], 3, 5, {
      pool,
    });
    expect(await count(key)).toBe(1);
  });

  test('executeQueryWithRetry retries a read and not a write', async () => {
    const pool = proxied();
    const key = nextKey++;
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    const { rows } = await executeQueryWithRetry('SELECT $1::int AS n', [7], 3, 5, { pool, readOnly: true });
    expect(rows).toEqual([{ n: 7 }]);
    proxy.cutOnMessage('toClient', 'C');
    const write = executeQueryWithRetry('INSERT INTO ledger VALUES ($1)', [key], 3, 5, { pool });
    await expect(write).rejects.toThrow('Connection terminated unexpectedly');
    expect(await count(key)).toBe(1);
  });
});
