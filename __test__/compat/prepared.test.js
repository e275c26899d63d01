'use strict';

// A text means what it means when it is sent, as under pg, which has the server parse it anew each time. Each case
// runs on both drivers; before a change the texts have been run, so that they are prepared here.

const pg = require('pg');
const Cursor = require('pg-cursor');
const ours = require('../../index.js');
const { config } = require('../support/server');
const { alike, outcome } = require('./alike');

/** A case: `body(pool, other)` with one connection; `other` runs SQL on another one. */
const using = (setUp, body, options) => async (driver) => {
  const other = new pg.Client(config());
  await other.connect();
  await other.query('DROP SCHEMA IF EXISTS prepared CASCADE; CREATE SCHEMA prepared');
  await other.query('SET search_path = prepared');
  await other.query(setUp);
  const pool = new driver.Pool(config({ max: 1, options: '-c search_path=prepared,public', ...options }));
  try {
    return await body(pool, (sql) => other.query(sql));
  } finally {
    await pool.end();
    await other.query('DROP SCHEMA prepared CASCADE');
    await other.end();
  }
};

const onClient = async (pool, work) => {
  const client = await pool.connect();
  try {
    return await work(client);
  } finally {
    client.release();
  }
};

describe('a quoted word that stands for a moment', () => {
  alike(
    'is the moment of each run',
    using('CREATE TABLE t (at timestamptz, n int)', async (pool) => {
      for (const n of [1, 2, 3]) await pool.query("INSERT INTO t VALUES ('now', $1)", [n]);
      return (await pool.query('SELECT count(DISTINCT at)::int AS moments FROM t')).rows;
    }),
  );

  alike(
    'is that in a longer text, in capitals, in a range and in dollars',
    using('', async (pool) => {
      const answers = [];
      for (let i = 0; i < 3; i++) {
        const text = `SELECT timestamptz ' NOW ' = now() AS a, '[now,)'::tstzrange @> now() AS b,
          lower('[now,)'::tstzrange) = now() AS c, $$now$$::timestamptz = now() AS d, $1::int AS n`;
        answers.push((await pool.query(text, [i])).rows);
      }
      return answers;
    }),
  );
});

describe('a table of that name', () => {
  const read = (asked) => asked.query('SELECT a FROM x WHERE a >= $1 ORDER BY a', [0]);
  const write = (asked, a) => asked.query('INSERT INTO x VALUES ($1)', [a]);

  const shadowed = (create) =>
    using('CREATE TABLE x (a int); INSERT INTO x VALUES (1)', async (pool, other) => {
      // Only the first temporary table has the server look names up anew.
      await pool.query('CREATE TEMP TABLE first_of_all (a int)');
      await read(pool);
      await write(pool, 2);
      for (const text of [].concat(create)) await pool.query(text);
      await write(pool, 3);
      return [(await read(pool)).rows, (await other('SELECT a FROM prepared.x ORDER BY a')).rows];
    });

  alike('hides the old one when it is temporary', shadowed('CREATE TEMP TABLE x (a int)'));
  alike('hides the old one when a SELECT makes it', shadowed('SELECT a INTO TEMP x FROM x'));
  alike('hides the old one when a query makes it', shadowed('CREATE TEMP TABLE x AS SELECT 7 AS a'));
  alike(
    'hides the old one when it comes in a text of several statements',
    shadowed('SELECT 1; CREATE TEMP TABLE x (a int); SELECT 2'),
  );
  alike(
    'hides the old one when a block makes it',
    shadowed('DO $$ BEGIN CREATE TEMP TABLE x (a int); END $$'),
  );
  alike(
    'hides the old one while it is there',
    shadowed(['CREATE TEMP TABLE x (a int)', 'INSERT INTO x VALUES (9)', 'DROP TABLE x']),
  );
  alike(
    'hides the old one under a view and a function',
    shadowed('CREATE TEMP VIEW x AS SELECT a FROM prepared.x WHERE a > 1'),
  );

  alike(
    'hides that of a later schema of the search path',
    using('CREATE TABLE public.later (a int); INSERT INTO public.later VALUES (1)', async (pool, other) => {
      const ask = () => pool.query('SELECT a FROM later WHERE a >= $1', [0]);
      try {
        await ask();
        await pool.query('CREATE TABLE later (a int)');
        return (await ask()).rows;
      } finally {
        await other('DROP TABLE public.later');
      }
    }),
  );

  alike(
    'is the old one again after ROLLBACK',
    using('CREATE TABLE x (a int); INSERT INTO x VALUES (1)', (pool) =>
      onClient(pool, async (client) => {
        const answers = [(await read(client)).rows];
        await client.query('BEGIN');
        await client.query('CREATE TEMP TABLE x (a int)');
        answers.push((await read(client)).rows);
        await client.query('ROLLBACK');
        answers.push((await read(client)).rows);
        return answers;
      }),
    ),
  );
});

describe('a setting reaches the literals of texts that were run before', () => {
  const TEXT = `SELECT '2026-03-01 12:00'::timestamptz AT TIME ZONE 'UTC' AS zone, '01/02/2026'::date - date '2026-01-01' AS style,
    '-1 2:03:04'::interval = '-26:03:04'::interval AS interval, length('a\\nb') AS escaped, array_length('{NULL,1}'::text[], 1) AS length,
    ('{NULL}'::text[])[1] IS NULL AS nulls, $1::int AS n`;
  const ask = async (asked) => (await asked.query(TEXT, [1])).rows;

  const setting = (text) =>
    using('', async (pool) => {
      const before = await ask(pool);
      await pool.query(text);
      return [before, await ask(pool)];
    });

  for (const text of [
    "SET timezone = 'America/New_York'",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET datestyle = 'ISO, DMY'",
    "SET intervalstyle = 'sql_standard'",
    'SET standard_conforming_strings = off; SET escape_string_warning = off',
    'SET array_nulls = off',
    "SELECT set_config('TimeZone', 'America/New_York', false)",
    "SET SESSION timezone = 'America/New_York'; RESET timezone; SET timezone TO 'Asia/Tokyo'",
  ]) {
    alike(`by ${text}`, setting(text));
  }

  alike(
    'by values given to set_config',
    using('', async (pool) => {
      const before = await ask(pool);
      await pool.query('SELECT set_config($1, $2, false)', ['TimeZone', 'America/New_York']);
      return [before, await ask(pool)];
    }),
  );

  for (const end of ['COMMIT', 'ROLLBACK', 'ROLLBACK TO a']) {
    for (const set of ['SET LOCAL', 'SET']) {
      for (const what of ["timezone = 'America/New_York'", 'array_nulls = off']) {
        alike(
          `by ${set} ${what} until ${end}`,
          using('', (pool) =>
            onClient(pool, async (client) => {
              const answers = [await ask(client)];
              await client.query('BEGIN; SAVEPOINT a');
              answers.push(await ask(client));
              await client.query(`${set} ${what}`);
              answers.push(await ask(client));
              await client.query(end);
              answers.push(await ask(client));
              await client.query('COMMIT');
              answers.push(await ask(client));
              return answers;
            }),
          ),
        );
      }
    }
  }

  alike(
    'by SET search_path',
    using(
      'CREATE TABLE x (a int); INSERT INTO x VALUES (1); DROP SCHEMA IF EXISTS prepared_too CASCADE; CREATE SCHEMA prepared_too; CREATE TABLE prepared_too.x (a int)',
      async (pool, other) => {
        const read = async () => (await pool.query('SELECT a FROM x WHERE a >= $1', [0])).rows;
        const before = await read();
        await pool.query('SET search_path = prepared_too');
        const after = await read();
        await other('DROP SCHEMA prepared_too CASCADE');
        return [before, after];
      },
    ),
  );
});

describe('a column that another session gives another type', () => {
  const columns = [
    ['int to bigint', 'int', 1, 'ALTER TABLE t ALTER a TYPE bigint', '3000000000'],
    ['int to text', 'int', 1, 'ALTER TABLE t ALTER a TYPE text', 'abc'],
    ['int to numeric', 'int', 1, 'ALTER TABLE t ALTER a TYPE numeric', '1.5'],
    [
      'int to uuid',
      'int',
      1,
      "ALTER TABLE t ALTER a TYPE uuid USING '00000000-0000-0000-0000-000000000000'",
      '11111111-1111-1111-1111-111111111111',
    ],
    [
      'text to an enum',
      'text',
      'calm',
      "CREATE TYPE mood AS ENUM ('calm', 'wild'); ALTER TABLE t ALTER a TYPE mood USING a::mood",
      'wild',
    ],
    ['text to jsonb', 'text', '1', 'ALTER TABLE t ALTER a TYPE jsonb USING a::jsonb', '{"b": 2}'],
    ['timestamp to text', 'timestamp', '2026-01-01', 'ALTER TABLE t ALTER a TYPE text', 'never'],
    ['varchar to bytea', 'varchar', 'x', "ALTER TABLE t ALTER a TYPE bytea USING ''", '\\x00ff'],
    ['int to int[]', 'int', 1, 'ALTER TABLE t ALTER a TYPE int[] USING ARRAY[a]', [1, 2]],
  ];
  for (const [name, type, before, change, after] of columns) {
    alike(
      `takes what fits the new one: ${name}`,
      using(`CREATE TABLE t (a ${type})`, async (pool, other) => {
        const insert = (value) => pool.query('INSERT INTO t VALUES ($1)', [value]);
        await insert(before);
        await other(change);
        await insert(after);
        const answers = [await outcome(insert(after).then(({ rowCount }) => rowCount))];
        const equal = () => pool.query('SELECT a::text AS a FROM t WHERE a = $1', [after]);
        answers.push((await equal()).rows);
        return answers;
      }),
    );
  }

  alike(
    'is compared with a list of the new one',
    using('CREATE TABLE t (a int); INSERT INTO t VALUES (1)', async (pool, other) => {
      const find = (values) => pool.query('SELECT a::text FROM t WHERE a = ANY($1)', [values]);
      await find([1, 2]);
      await other('ALTER TABLE t ALTER a TYPE bigint');
      await other('INSERT INTO t VALUES (3000000000)');
      return (await find([3000000000])).rows;
    }),
  );

  alike(
    'and a bad value for it is told as such, again and again',
    using('CREATE TABLE t (a int)', async (pool, other) => {
      const insert = (value) =>
        outcome(pool.query('INSERT INTO t VALUES ($1)', [value]).then((r) => r.rowCount));
      const answers = [await insert(1), await insert('abc'), await insert('4000000000'), await insert(2)];
      await other('ALTER TABLE t ALTER a TYPE uuid USING gen_random_uuid()');
      answers.push(await insert(1), await insert('abc'));
      return answers;
    }),
  );

  alike(
    'or that it drops, or with the table, is told as such',
    using('CREATE TABLE t (a int, b int)', async (pool, other) => {
      const insert = (value) =>
        outcome(pool.query('INSERT INTO t (a) VALUES ($1)', [value]).then((r) => r.rowCount));
      const answers = [await insert(1)];
      await other('ALTER TABLE t DROP a');
      answers.push(await insert(2), await insert(2));
      await other('DROP TABLE t');
      answers.push(await insert(2));
      await other('CREATE TABLE t (a text)');
      answers.push(await insert('three'));
      return answers;
    }),
  );
});

alike(
  'a column that the session itself gives another type takes what fits the new one',
  using(
    'CREATE TABLE t (at timestamp)',
    async (pool) => {
      const insert = () => pool.query('INSERT INTO t VALUES ($1)', ['2026-01-01T12:00:00Z']);
      await insert();
      await pool.query('TRUNCATE t');
      await pool.query('ALTER TABLE t ALTER at TYPE timestamptz');
      await insert();
      return (await pool.query("SELECT (at AT TIME ZONE 'UTC')::text AS at FROM t")).rows;
    },
    { options: '-c search_path=prepared,public -c timezone=America/New_York' },
  ),
);

alike(
  'a function of that name that fits better is called',
  using("CREATE FUNCTION f(int) RETURNS text LANGUAGE sql AS 'SELECT ''int'''", async (pool, other) => {
    const call = (value) => outcome(pool.query('SELECT f($1) AS f', [value]).then(({ rows }) => rows));
    const answers = [await call(1)];
    await other("CREATE FUNCTION f(text) RETURNS text LANGUAGE sql AS 'SELECT ''text'''");
    answers.push(await call('abc'), await call('def'));
    await pool.query("CREATE FUNCTION f(numeric) RETURNS text LANGUAGE sql AS 'SELECT ''numeric'''");
    answers.push(await call('1.5'));
    return answers;
  }),
);

describe('inside a transaction', () => {
  alike(
    'a column that was added is among all columns',
    using('CREATE TABLE t (a int); INSERT INTO t VALUES (1)', (pool, other) =>
      onClient(pool, async (client) => {
        const texts = [
          'SELECT * FROM t WHERE a = $1',
          'INSERT INTO t (a) VALUES ($1) RETURNING *',
          'SELECT t.* FROM t WHERE a = $1',
        ];
        for (const text of texts) await client.query(text, [1]);
        await other('ALTER TABLE t ADD b int');
        await client.query('BEGIN');
        const answers = [];
        for (const text of texts) answers.push((await client.query(text, [1])).rows);
        await client.query('COMMIT');
        for (const text of texts) answers.push((await client.query(text, [1])).rows);
        return answers;
      }),
    ),
  );

  alike(
    'a moment is that of the transaction',
    using('', (pool) =>
      onClient(pool, async (client) => {
        const same = async () =>
          (await client.query("SELECT 'now'::timestamptz = now() AS same, $1::int", [1])).rows;
        const answers = [await same()];
        for (let i = 0; i < 2; i++) {
          await client.query('BEGIN');
          answers.push(await same());
          await client.query('COMMIT');
        }
        return answers;
      }),
    ),
  );
});

describe('what is sent before the answer is there', () => {
  const texts = [
    "SELECT '2026-03-01 12:00'::timestamptz AT TIME ZONE 'UTC' AS at, $1::int AS n",
    'SELECT a FROM x WHERE a >= $1',
  ];
  const sent = (options) =>
    using(
      'CREATE TABLE x (a int); INSERT INTO x VALUES (1)',
      (pool) =>
        onClient(pool, async (client) => {
          const run = () => texts.map((text) => client.query(text, [0]));
          await Promise.all(run());
          const answers = await Promise.all([
            ...run(),
            client.query("SET timezone = 'America/New_York'"),
            client.query('CREATE TEMP TABLE x (a int)'),
            ...run(),
            client.query('BEGIN'),
            client.query("SET LOCAL timezone = 'Asia/Tokyo'"),
            ...run(),
            client.query('COMMIT'),
            ...run(),
          ]);
          answers.push(...(await Promise.all(run())));
          return answers.map(({ rows }) => rows);
        }),
      options,
    );

  alike('means the same in the queue of a client', sent({}));
  alike('means the same in a pipeline', sent({ pipeline: true }));
});

alike(
  'what a cursor sends counts, too',
  using('CREATE TABLE x (a int); INSERT INTO x VALUES (1)', (pool) =>
    onClient(pool, async (client) => {
      const texts = [
        'SELECT a FROM x WHERE a >= $1',
        "SELECT '2026-03-01 12:00'::timestamptz AS at, $1::int AS n",
      ];
      const ask = async () => {
        const answers = [];
        for (const text of texts) answers.push((await client.query(text, [0])).rows);
        return answers;
      };
      const send = (text) =>
        new Promise((resolve, reject) => {
          client.query(new Cursor(text)).read(1, (error) => (error ? reject(error) : resolve()));
        });
      await send('CREATE TEMP TABLE first_of_all (a int)');
      const answers = [await ask()];
      await send('CREATE TEMP TABLE x (a int)');
      await send("SET timezone = 'America/New_York'");
      answers.push(await ask());
      return answers;
    }),
  ),
);

describe('the size of the cache', () => {
  const kept = async (options) => {
    const pool = new ours.Pool(config({ max: 1, ...options }));
    try {
      for (let i = 0; i < 3; i++) await pool.query(`SELECT $1::int AS column_${i}`, [i]);
      const text =
        "SELECT count(*)::int AS n FROM pg_prepared_statements WHERE statement LIKE '%AS column_%'";
      return (await pool.query(text)).rows[0].n;
    } finally {
      await pool.end();
    }
  };

  test('is an option', async () => {
    expect(await kept({})).toBe(3);
    expect(await kept({ statementCacheSize: 2 })).toBe(2);
    expect(await kept({ statementCacheSize: 0 })).toBe(0);
  });

  test('is a member of the defaults, read when a pool is made', async () => {
    expect(ours.defaults.statementCacheSize).toBe(256);
    try {
      ours.defaults.statementCacheSize = 0;
      expect(await kept({})).toBe(0);
      expect(await kept({ statementCacheSize: 1 })).toBe(1);
    } finally {
      ours.defaults.statementCacheSize = 256;
    }
  });

  test('is a parameter of the connection string', async () => {
    const { host, port, user, password, database } = config();
    const connectionString = `postgres://${user}:${password}@${host}:${port}/${database}?statementCacheSize=1`;
    expect(await kept({ connectionString })).toBe(1);
  });
});
