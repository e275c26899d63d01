'use strict';

// A transaction's function that commits by itself: what it has committed, or may have, is never run again. A
// proxy cuts at chosen messages.

const Cursor = require('pg-cursor');
const { Pool, Query, executeTransactionWithRetry } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');

let database;
let direct;
let proxy;
let pool;
let runs;
let nextKey = 1;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  await direct.query('CREATE TABLE ledger (key int NOT NULL)');
  await direct.query(`CREATE FUNCTION conflict() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`);
});
afterAll(async () => {
  await direct.end();
  await database.drop();
});

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
  pool = new Pool(database.config({ host: proxy.host, port: proxy.port }));
  runs = 0;
});
afterEach(async () => {
  await pool.end();
  await proxy.stop();
});

const quick = { retryDelay: 5 };

async function count(key) {
  const { rows } = await direct.query('SELECT count(*)::int AS count FROM ledger WHERE key = $1', [key]);
  return rows[0].count;
}

/** A transaction whose function writes a row, does `work` and fails by a conflict. */
function conflicting(work, options = quick) {
  const key = nextKey++;
  const failed = pool.transaction(async (client) => {
    runs += 1;
    await client.query('INSERT INTO ledger VALUES ($1)', [key]);
    await work(client);
    await client.query('SELECT conflict()');
  }, options);
  return { key, failed };
}

describe('a function that commits and then fails by a conflict', () => {
  const send = (text) => (client) => client.query(text);
  const committing = [
    ['COMMIT', send('COMMIT')],
    ['END in a comment, with words behind it', send('/* ; */ end work -- ;')],
    ['COMMIT AND CHAIN', send('COMMIT AND CHAIN')],
    ['COMMIT and BEGIN in one text', send('COMMIT; BEGIN')],
    ['statements around the COMMIT', send("SELECT ';COMMIT'; COMMIT; BEGIN; SELECT 2")],
    [
      'a COMMIT of the extended protocol',
      (client) => client.query({ text: 'COMMIT AND CHAIN', queryMode: 'extended' }),
    ],
    ['a COMMIT known by its name alone', (client) => client.query({ name: 'known' })],
    [
      'a COMMIT as a Query',
      (client) => new Promise((resolve) => client.query(new Query('COMMIT AND CHAIN', resolve))),
    ],
    [
      'a COMMIT by way of the connection',
      (client) => {
        client.connection.query('COMMIT AND CHAIN');
        return client.query('SELECT 1');
      },
    ],
    [
      'rows written behind its ROLLBACK',
      async (client) => {
        await client.query('ROLLBACK');
        await client.query('INSERT INTO ledger SELECT max(key) FROM ledger');
        await client.query('BEGIN');
      },
    ],
  ];

  test.each(committing)('is run once: %s', async (_, work) => {
    // On the connection that the transaction gets.
    await pool.query({ name: 'known', text: 'COMMIT' });
    const { failed } = conflicting(work);
    await expect(failed).rejects.toMatchObject({ code: '40001' });
    expect(runs).toBe(1);
  });

  test('has committed what it committed, once', async () => {
    const { key, failed } = conflicting(send('COMMIT; BEGIN'));
    await expect(failed).rejects.toMatchObject({ code: '40001' });
    expect(await count(key)).toBe(1);
  });

  test('is run once by executeTransactionWithRetry, too', async () => {
    const key = nextKey++;
    const queries = [
      { query: 'INSERT INTO ledger VALUES ($1)', values: [key] },
      { query: 'COMMIT AND CHAIN' },
      { query: 'SELECT conflict()' },
    ];
    await expect(executeTransactionWithRetry(queries, 3, 5, { pool })).rejects.toMatchObject({
      code: '40001',
    });
    expect(await count(key)).toBe(1);
  });
});

describe('a function that loses the connection', () => {
  /** A transaction whose function writes a row and loses the answer to `text`. */
  const losing = (text) => {
    const key = nextKey++;
    const failed = pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      if (runs === 1) proxy.cutOnMessage('toClient', 'C');
      await client.query(text);
    }, quick);
    return { key, failed };
  };

  test.each(['COMMIT', 'COMMIT AND CHAIN', 'COMMIT; BEGIN', 'END; SELECT 1'])(
    'with the answer to its own commit is run once: %s',
    async (text) => {
      const { key, failed } = losing(text);
      await expect(failed).rejects.toThrow('Connection terminated unexpectedly');
      expect(runs).toBe(1);
      expect(await count(key)).toBe(1);
    },
  );

  test('after its own COMMIT AND CHAIN is run once', async () => {
    const key = nextKey++;
    const failed = pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      await client.query('COMMIT AND CHAIN');
      proxy.cut();
      await client.query('SELECT 1');
    }, quick);
    await expect(failed).rejects.toThrow('Connection terminated unexpectedly');
    expect([runs, await count(key)]).toEqual([1, 1]);
  });

  test('and the answer to COMMIT, after a COMMIT AND CHAIN, is run once', async () => {
    const key = nextKey++;
    const failed = pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      await client.query('COMMIT AND CHAIN');
      await client.query('INSERT INTO ledger VALUES ($1)', [-key]);
      // The question for the id, then COMMIT, which the server never sees.
      proxy.cutOnMessage('toServer', 'Q', { nth: 2 });
    }, quick);
    await expect(failed).rejects.toThrow('Connection terminated unexpectedly');
    expect([runs, await count(key), await count(-key)]).toEqual([1, 1, 0]);
  });
});

describe('a function that commits nothing by itself is run again', () => {
  /** A transaction whose function does `work`, and fails by a conflict in its first run. */
  const again = async (work) => {
    const key = nextKey++;
    await pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      await work(client, key);
      if (runs === 1) await client.query('SELECT conflict()');
    }, quick);
    return [runs, await count(key)];
  };

  test('with savepoints, one of them called commit', async () => {
    const work = async (client) => {
      await client.query('SAVEPOINT commit');
      await client.query('SELECT conflict()').catch(() => {});
      await client.query('ROLLBACK TO SAVEPOINT commit; RELEASE commit');
    };
    expect(await again(work)).toEqual([2, 1]);
  });

  test('with the word COMMIT in its values, in a string and in a prepared statement', async () => {
    const work = async (client) => {
      await client.query("SELECT $1, 'COMMIT; COMMIT'", ['COMMIT']);
      await client.query('PREPARE commit AS SELECT 1; DEALLOCATE commit');
    };
    expect(await again(work)).toEqual([2, 1]);
  });

  test('with a cursor, whose connection is lost', async () => {
    const work = async (client) => {
      const cursor = client.query(new Cursor('SELECT generate_series(1, 10)'));
      if (runs === 1) proxy.cut();
      await cursor.read(1);
      await cursor.close();
    };
    expect(await again(work)).toEqual([2, 1]);
  });

  test('with a ROLLBACK of its own before it passes the conflict on', async () => {
    const key = nextKey++;
    await pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      if (runs > 1) return;
      try {
        await client.query('SELECT conflict()');
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      }
    }, quick);
    expect([runs, await count(key)]).toEqual([2, 1]);
  });

  test('with ROLLBACK and BEGIN in one text', async () => {
    const work = (client, key) => client.query(`ROLLBACK; BEGIN; INSERT INTO ledger VALUES (${key})`);
    expect(await again(work)).toEqual([2, 1]);
  });
});

test('a transaction that was prepared to be committed later, or may have been, is run once', async () => {
  const { failed } = conflicting((client) =>
    // The tests' server has no room for prepared transactions, others may have.
    client.query("PREPARE TRANSACTION 'own'; BEGIN").catch(() => client.query('ROLLBACK; BEGIN')),
  );
  await expect(failed).rejects.toMatchObject({ code: '40001' });
  expect(runs).toBe(1);
  await direct.query("ROLLBACK PREPARED 'own'").catch(() => {});
});
