'use strict';

// What a transaction of a pool offers beside its statements: settings of its own (SET LOCAL), with which row-level
// security tells tenants apart, and transactions inside it, which are savepoints.

const Cursor = require('pg-cursor');
const { Pool, executeTransactionWithRetry } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');
const { until } = require('../support/until');

let database;
let direct;
let proxy;
let pool;
let nextKey = 1;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  await direct.query(`
    CREATE TABLE ledger (key int NOT NULL, step text);
    CREATE TABLE invoices (tenant int NOT NULL, title text);
    INSERT INTO invoices VALUES (1, 'one'), (2, 'two');
    ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON invoices
      USING (tenant = nullif(current_setting('app.tenant', true), '')::int);
    CREATE ROLE clerk_of_tests NOLOGIN;
    GRANT SELECT, INSERT ON invoices TO clerk_of_tests;
  `);
});
afterAll(async () => {
  await direct.query('DROP OWNED BY clerk_of_tests; DROP ROLE clerk_of_tests');
  await direct.end();
  await database.drop();
});

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
  pool = new Pool(database.config({ host: proxy.host, port: proxy.port, max: 1 }));
});
afterEach(async () => {
  if (!pool.ending) await pool.end();
  await proxy.stop();
});

const quick = { retryDelay: 5 };
const insert = (client, key, step) => client.query('INSERT INTO ledger VALUES ($1, $2)', [key, step]);

async function steps(key) {
  const { rows } = await direct.query('SELECT step FROM ledger WHERE key = $1 ORDER BY step', [key]);
  return rows.map(({ step }) => step);
}

const titles = async (client) => (await client.query('SELECT title FROM invoices ORDER BY 1')).rows;
const asTenant = (tenant) => ({ set: { role: 'clerk_of_tests', 'app.tenant': tenant } });
const rejection = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

describe('settings of a transaction', () => {
  test('show each of two tenants on one connection its own rows, and nobody else any', async () => {
    const process = async (client) => client.processID;
    const first = await pool.transaction(process);
    await expect(pool.transaction(titles, asTenant(1))).resolves.toEqual([{ title: 'one' }]);
    await expect(pool.transaction(titles, asTenant(2))).resolves.toEqual([{ title: 'two' }]);
    await expect(pool.transaction(titles, { set: { role: 'clerk_of_tests' } })).resolves.toEqual([]);
    await expect(pool.transaction(process)).resolves.toBe(first);
    await expect(titles(pool)).resolves.toHaveLength(2);
  });

  test('are over when it is rolled back', async () => {
    await rejection(
      pool.transaction(async () => {
        throw new Error('no');
      }, asTenant(1)),
    );
    const { rows } = await pool.query("SELECT current_user <> 'clerk_of_tests' AS back");
    expect(rows).toEqual([{ back: true }]);
  });

  test('are values, whatever is written in them', async () => {
    const name = `'; DROP TABLE invoices; -- \\ "{}", NULL é`;
    const read = async (client) => (await client.query("SELECT current_setting('app.name') AS name")).rows;
    await expect(pool.transaction(read, { set: { 'app.name': name } })).resolves.toEqual([{ name }]);
    await expect(pool.transaction(read, { set: { 'app.name': 7n } })).resolves.toEqual([{ name: '7' }]);
    await expect(pool.transaction(read, { set: { 'app.name': false } })).resolves.toEqual([
      { name: 'false' },
    ]);
    await expect(pool.transaction(read, { set: { 'app.name': '' } })).resolves.toEqual([{ name: '' }]);
  });

  test('of which one is missing are refused before anything is sent, without their values', async () => {
    for (const value of [undefined, null, NaN, {}, Symbol('secret'), ['secret']]) {
      const error = await rejection(pool.transaction(titles, { set: { 'app.tenant': value } }));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain('app.tenant');
      expect(error.message).not.toContain('secret');
    }
    await expect(pool.transaction(titles, { set: 'app.tenant = 1' })).rejects.toThrow(TypeError);
    expect(pool.totalCount).toBe(0);
  });

  test('that the server refuses fail the transaction before its function runs', async () => {
    let runs = 0;
    const failed = pool.transaction(async () => (runs += 1), { set: { 'not a name': '1' } });
    await expect(failed).rejects.toMatchObject({ code: '42704' });
    await expect(
      pool.transaction(async () => (runs += 1), { set: { work_mem: 'much' } }),
    ).rejects.toMatchObject({
      code: '22023',
    });
    expect([runs, pool.idleCount]).toEqual([0, 1]);
  });

  test('hold in each run of it', async () => {
    const seen = [];
    await pool.transaction(
      async (client) => {
        seen.push(await titles(client));
        if (seen.length === 1) proxy.cut();
        if (seen.length === 2) await client.query("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$");
        await client.query('SELECT 1');
      },
      { ...quick, ...asTenant(2) },
    );
    expect(seen).toEqual([[{ title: 'two' }], [{ title: 'two' }], [{ title: 'two' }]]);
  });

  test('are sent with BEGIN, without waiting for its answer', async () => {
    await pool.transaction(titles, asTenant(1));
    let bound = false;
    proxy.when({ direction: 'toServer', message: 'B' }, () => (bound = true));
    proxy.stall('toClient');
    const read = pool.transaction(titles, asTenant(2));
    await until(() => bound);
    proxy.resume('toClient');
    await expect(read).resolves.toEqual([{ title: 'two' }]);
  });

  test('whose answer is lost, or that of BEGIN, are made again with the next run', async () => {
    await pool.transaction(titles, asTenant(1));
    proxy.cutOnMessage('toClient', 'C');
    await expect(pool.transaction(titles, { ...quick, ...asTenant(2) })).resolves.toEqual([{ title: 'two' }]);
    proxy.cutOnMessage('toClient', 'C', { nth: 2 });
    await expect(pool.transaction(titles, { ...quick, ...asTenant(1) })).resolves.toEqual([{ title: 'one' }]);
  });

  test('are an option of executeTransactionWithRetry', async () => {
    const read = 'SELECT title FROM invoices';
    const [{ rows }] = await executeTransactionWithRetry([read], { pool, ...asTenant(2) });
    expect(rows).toEqual([{ title: 'two' }]);
  });
});

describe('a nested transaction', () => {
  test('is kept with the one around it, and resolves with what its function returned', async () => {
    const key = nextKey++;
    const value = await pool.transaction(async (client) => {
      await insert(client, key, 'outer');
      return client.transaction(async (inner) => {
        await insert(inner, key, 'inner');
        return inner.transaction(async (innermost) => (await insert(innermost, key, 'innermost')).rowCount);
      });
    });
    expect(value).toBe(1);
    expect(await steps(key)).toEqual(['inner', 'innermost', 'outer']);
  });

  test('that fails is undone alone, and rejects with the very error', async () => {
    const key = nextKey++;
    const own = new Error('no such seat');
    await pool.transaction(async (client) => {
      await insert(client, key, 'before');
      const failed = client.transaction(async (inner) => {
        await insert(inner, key, 'inner');
        throw own;
      });
      await expect(failed).rejects.toBe(own);
      const refused = client.transaction(async (inner) => {
        await insert(inner, key, 'inner');
        await inner.query('SELECT 1 / 0');
      });
      await expect(refused).rejects.toMatchObject({ code: '22012' });
      await insert(client, key, 'after');
    });
    expect(await steps(key)).toEqual(['after', 'before']);
  });

  test('whose function swallowed an error of the server is undone, and says so', async () => {
    const key = nextKey++;
    await pool.transaction(async (client) => {
      const swallowed = client.transaction(async (inner) => {
        await insert(inner, key, 'inner');
        await inner.query('SELECT 1 / 0').catch(() => {});
      });
      await expect(swallowed).rejects.toMatchObject({ code: 'TRANSACTION_ROLLED_BACK' });
      await insert(client, key, 'outer');
    });
    expect(await steps(key)).toEqual(['outer']);
  });

  test('has a savepoint of its own, however many there are', async () => {
    const key = nextKey++;
    const deeper = async (client, depth) => {
      await insert(client, key, `${100 + depth}`);
      if (depth < 40) await client.transaction((inner) => deeper(inner, depth + 1));
      if (depth === 20) throw new Error('undone from here');
    };
    await pool.transaction(async (client) => {
      await client.transaction((inner) => deeper(inner, 20)).catch(() => {});
      await client.transaction((inner) => deeper(inner, 39));
    });
    expect(await steps(key)).toEqual(['139', '140']);
  });

  test('that meets a conflict runs again with the whole, even if the error was caught', async () => {
    const key = nextKey++;
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await insert(client, key, `run ${runs}`);
      const nested = client.transaction(async (inner) => {
        if (runs === 1) await inner.query("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$");
      });
      await nested.catch(() => {});
    }, quick);
    expect(runs).toBe(2);
    expect(await steps(key)).toEqual(['run 2']);
  });

  test('that loses its connection runs again with the whole', async () => {
    const key = nextKey++;
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await client
        .transaction(async (inner) => {
          await insert(inner, key, `run ${runs}`);
          if (runs === 1) proxy.cut();
          await inner.query('SELECT 1');
        })
        .catch(() => {});
    }, quick);
    expect(runs).toBe(2);
    expect(await steps(key)).toEqual(['run 2']);
  });

  test('beside another open one is refused', async () => {
    const key = nextKey++;
    const both = pool.transaction(async (client) => {
      await Promise.all(['a', 'b'].map((step) => client.transaction((inner) => insert(inner, key, step))));
    });
    await expect(both).rejects.toMatchObject({ code: 'NESTED_TRANSACTION_OPEN' });
    expect(await steps(key)).toEqual([]);
    await pool.transaction(async (client) => {
      await client.transaction(async () => {
        await expect(client.transaction(async () => {})).rejects.toMatchObject({
          code: 'NESTED_TRANSACTION_OPEN',
        });
      });
    });
  });

  test('that outlives the one around it is refused, and nothing of either is kept', async () => {
    const key = nextKey++;
    let goOn;
    let late;
    const gate = new Promise((resolve) => (goOn = resolve));
    const failed = pool.transaction(async (client) => {
      await insert(client, key, 'outer');
      client.transaction(async (inner) => {
        await insert(inner, key, 'inner');
        await gate;
        late = rejection(insert(inner, key, 'late'));
        await late;
      });
      await client.query('SELECT 1');
    });
    await expect(failed).rejects.toMatchObject({ code: 'NESTED_TRANSACTION_NOT_AWAITED' });
    goOn();
    await until(() => late);
    expect(await late).toMatchObject({ code: 'NESTED_TRANSACTION_OVER' });
    expect(await steps(key)).toEqual([]);
    expect(pool.idleCount).toBe(1);
  });

  test('past the deadline of the whole is over', async () => {
    const key = nextKey++;
    await pool.query('SELECT 1');
    let kept;
    const slow = pool.transaction(
      (client) =>
        client.transaction(async (inner) => {
          kept = inner;
          await insert(inner, key, 'inner');
          await inner.query('SELECT pg_sleep(600)');
        }),
      { deadline: 1000 },
    );
    await expect(slow).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await expect(kept.query('SELECT 1')).rejects.toMatchObject({ code: 'NESTED_TRANSACTION_OVER' });
    expect(await steps(key)).toEqual([]);
  });

  test('that is over refuses its client in every form of a query', async () => {
    let kept;
    await pool.transaction((client) => client.transaction(async (inner) => (kept = inner)));
    const over = expect.objectContaining({ code: 'NESTED_TRANSACTION_OVER' });
    await expect(kept.query('SELECT 1')).rejects.toEqual(over);
    await expect(kept.transaction(async () => {})).rejects.toEqual(over);
    expect(() => kept.stream('SELECT 1')).toThrow(over);
    expect(await new Promise((resolve) => kept.query('SELECT 1', resolve))).toEqual(over);
    expect(await new Promise((resolve) => kept.query('SELECT $1', [1], resolve))).toEqual(over);
    const cursor = kept.query(new Cursor('SELECT 1'));
    await expect(cursor.read(1)).rejects.toEqual(over);
  });

  test('has a client with all that the client has', async () => {
    await pool.transaction((client) =>
      client.transaction(async (inner) => {
        expect(inner).toBeInstanceOf(client.constructor);
        expect(inner.processID).toBe(client.processID);
        const cursor = inner.query(new Cursor('SELECT generate_series(1, 3) AS n'));
        expect(await cursor.read(2)).toEqual([{ n: 1 }, { n: 2 }]);
        await cursor.close();
        const rows = [];
        for await (const row of inner.stream('SELECT 1 AS one')) rows.push(row);
        expect(rows).toEqual([{ one: 1 }]);
        expect(() => inner.release()).toThrow('is released when the transaction ends');
      }),
    );
  });

  test('takes a function, and no options', async () => {
    await pool.transaction(async (client) => {
      await expect(client.transaction('BEGIN')).rejects.toThrow(TypeError);
      await expect(client.transaction(async () => {}, { readOnly: true })).rejects.toThrow(TypeError);
    });
  });

  test('whose function ends the transaction by itself is an error of the whole', async () => {
    const ended = pool.transaction((client) => client.transaction((inner) => inner.query('COMMIT')));
    await expect(ended).rejects.toMatchObject({ code: 'TRANSACTION_ENDED' });
  });

  test('needs a transaction around it', async () => {
    const client = await pool.connect();
    await expect(client.transaction(async () => {})).rejects.toMatchObject({ code: 'NO_TRANSACTION' });
    client.release();
    let kept;
    await pool.transaction(async (client) => (kept = client));
    await expect(kept.transaction(async () => {})).rejects.toMatchObject({ code: 'NO_TRANSACTION' });
  });
});
