'use strict';

// Client and Query: connect, queries, events and their order, ends, messages, each case run with pg and
// with this package.

const { once } = require('node:events');
const { alike, outcome, thrown, told, journal, calledBack, inProcess } = require('./alike');
const { Client } = require('../..');
const { Proxy } = require('../support/proxy');
const { asleep, blocked, config, server } = require('../support/server');
const { until } = require('../support/until');

const EVENTS = ['connect', 'drain', 'end', 'error', 'notice', 'notification'];

/** Runs `body` with a connected client that is ended afterwards. */
async function withClient(driver, options, body) {
  const client = new driver.Client(options);
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

describe('connecting', () => {
  alike('the promise is of the client itself', async (driver, config) => {
    const client = new driver.Client(config());
    const before = client.getTransactionStatus();
    const value = await client.connect();
    const after = client.getTransactionStatus();
    await client.end();
    return [value === client, before, after, typeof client.processID, typeof client.secretKey];
  });

  alike('the callback comes before the event', async (driver, config) => {
    const client = new driver.Client(config());
    const notes = journal(client, EVENTS);
    const args = await calledBack((done) =>
      client.connect((...given) => {
        notes.push('callback');
        done(...given);
      }),
    );
    await client.end();
    return [args[0], args[1] === client, notes];
  });

  alike('a second connect is refused', (driver, config) =>
    withClient(driver, config(), async (client) => [
      await outcome(client.connect()),
      (await calledBack((done) => client.connect(done))).map(told),
    ]),
  );

  alike('queries asked for before are run in order', async (driver, config) => {
    const client = new driver.Client(config());
    const notes = [];
    const early = [1, 2].map((n) =>
      client.query('SELECT $1::int AS n', [n]).then(({ rows }) => notes.push(rows[0].n)),
    );
    await client.connect();
    await Promise.all(early);
    await client.end();
    return notes;
  });

  alike('a refused connection rejects and ends', async (driver, config) => {
    const client = new driver.Client(config({ host: '127.0.0.1', port: 1 }));
    const notes = journal(client, EVENTS);
    const failure = await outcome(client.connect());
    await until(() => notes.includes('end'));
    await client.end();
    return [failure, notes];
  });

  alike('queries before a refused connection fail', async (driver, config) => {
    const client = new driver.Client(config({ host: '127.0.0.1', port: 1 }));
    const early = outcome(client.query('SELECT 1'));
    await outcome(client.connect());
    return early;
  });

  alike('a wrong password rejects with the error of the server', async (driver, config) => {
    const client = new driver.Client(config({ password: 'wrong' }));
    const failure = await client.connect().catch((error) => error);
    return [failure.code, failure.severity, failure.message];
  });

  alike('a password may be a function, and what it throws is the error', async (driver, config) => {
    const { password } = config();
    const good = new driver.Client(config({ password: async () => password }));
    await good.connect();
    await good.end();
    const failure = new RangeError('no secret today');
    const bad = new driver.Client(config({ password: () => Promise.reject(failure) }));
    const odd = new driver.Client(config({ password: () => 7 }));
    const results = [(await bad.connect().catch((error) => error)) === failure, await outcome(odd.connect())];
    await Promise.all([bad.end(), odd.end()]);
    return results;
  });

  alike('a password function may fail with the words of another failure', async (driver, config) => {
    const texts = [
      'Connection terminated due to connection timeout',
      'Connection terminated unexpectedly',
      'Query read timeout',
    ];
    const results = [];
    for (const text of texts) {
      const failure = new Error(text);
      const password = () => Promise.reject(failure);
      const client = new driver.Client(config({ password }));
      const pool = new driver.Pool(config({ password }));
      const failed = [client.connect(), pool.connect(), pool.query('SELECT 1')];
      const errors = await Promise.all(failed.map((promise) => promise.catch((error) => error)));
      results.push(errors.map((error) => [error === failure, error.message]));
      await Promise.all([client.end(), pool.end()]);
    }
    return results;
  });

  alike('startup parameters reach the server', (driver, config) =>
    withClient(
      driver,
      config({
        application_name: 'news desk',
        statement_timeout: '150000',
        lock_timeout: 70_000,
        options: '-c geqo=off',
      }),
      async (client) => {
        const shown = [];
        for (const name of [
          'application_name',
          'statement_timeout',
          'lock_timeout',
          'geqo',
          'client_encoding',
          'DateStyle',
        ]) {
          shown.push(Object.values((await client.query(`SHOW ${name}`)).rows[0])[0]);
        }
        return shown;
      },
    ),
  );
});

describe('queries of a client', () => {
  alike('the callback gets null and the result', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const [error, result] = await calledBack((done) => client.query('SELECT 1 AS x', done));
      const [none, more] = await calledBack((done) =>
        client.query({ text: 'SELECT $1::int AS x', values: [2], callback: done }),
      );
      return [error, result.rows, none, more.rows];
    }),
  );

  alike('misuse is thrown or rejected as in pg', (driver, config) =>
    withClient(driver, config(), async (client) => [
      thrown(() => client.query()),
      thrown(() => client.query(null)),
      thrown(() => client.query('SELECT 1', [], 'no function')),
      await outcome(client.query({})),
      await outcome(client.query('SELECT $1', 5)),
      (await client.query('SELECT 1 AS still')).rows,
    ]),
  );

  alike('queries run in the order they were asked for, and drain comes once', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const notes = journal(client, ['drain']);
      const waiting = [1, 2, 3].map((n) => client.query('SELECT $1::int AS n', [n], () => notes.push(n)));
      await until(() => notes.includes('drain'));
      return [waiting, notes];
    }),
  );

  alike('drain follows every awaited query', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const notes = journal(client, ['drain']);
      for (const text of ['SELECT 1', '', 'SELECT 2']) {
        await client.query(text);
        notes.push('done');
      }
      await until(() => notes.filter((note) => note === 'drain').length === 3);
      return notes;
    }),
  );

  alike('the transaction status follows', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const statuses = [];
      for (const text of ['BEGIN', 'SELECT nonsense', 'SELECT 1', 'ROLLBACK', 'SELECT 1']) {
        const drained = once(client, 'drain');
        await client.query(text).catch(() => {});
        await drained;
        statuses.push(client.getTransactionStatus());
      }
      return statuses;
    }),
  );

  alike('a named statement runs again without its text, and not with another', (driver, config) =>
    withClient(driver, config(), async (client) => [
      (await client.query({ name: 'one', text: 'SELECT $1::int AS x', values: [1] })).rows,
      (await client.query({ name: 'one', values: [2] })).rows,
      await outcome(client.query({ name: 'one', text: 'SELECT 3 AS x' })),
      (await client.query({ name: 'one', values: [4] })).rows,
    ]),
  );

  alike('a failed parse frees the name', (driver, config) =>
    withClient(driver, config(), async (client) => [
      await outcome(client.query({ name: 'again', text: 'SELECT nonsense' })),
      (await client.query({ name: 'again', text: 'SELECT 1 AS x' })).rows,
    ]),
  );

  alike('rows are fetched in pages and all kept', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const { rows, rowCount, command } = await client.query({
        text: 'SELECT generate_series(1, 25) AS n',
        rows: 10,
      });
      return [rows.length, rowCount, command];
    }),
  );

  alike('a parser of this client is used for it alone', (driver, config) =>
    withClient(driver, config(), async (client) => {
      client.setTypeParser(23, (text) => `int ${text}`);
      client.setTypeParser(25, 'text', (text) => text.toUpperCase());
      return [(await client.query("SELECT 1 AS x, 'a'::text AS y")).rows, typeof client.getTypeParser(23)];
    }),
  );

  alike('an exception of a callback is uncaught, and the client goes on', (driver, config) =>
    inProcess(driver, config(), async ({ Client }, options) => {
      const client = new Client(options);
      await client.connect();
      process.on('uncaughtException', (error) => console.log(error.message));
      client.query('SELECT 1', () => {
        throw new Error('a fault of the application');
      });
      console.log((await client.query('SELECT 2 AS x')).rows);
      await client.end();
    }),
  );

  alike('a lost connection that nobody listens for is uncaught', (driver, config) =>
    inProcess(driver, config(), async ({ Client }, options) => {
      const client = new Client(options);
      await client.connect();
      process.on('uncaughtException', (error) => console.log('uncaught', error.message));
      await client
        .query('SELECT pg_terminate_backend(pg_backend_pid())')
        .catch((error) => console.log(error.code));
    }),
  );

  alike('query_timeout rejects, per query too', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const { text, free } = await blocked();
      const failure = await outcome(client.query({ text, query_timeout: 30 }));
      await free();
      return [failure, (await client.query('SELECT 1 AS x')).rows];
    }),
  );

  alike('a statement cut short by statement_timeout rejects with 57014', (driver, config) =>
    withClient(driver, config({ statement_timeout: 50 }), (client) =>
      outcome(client.query('SELECT pg_sleep(5)')),
    ),
  );
});

describe('the queue, as tracers look into it', () => {
  alike('shows the newest query, whose callback may be replaced', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const seen = [];
      const { query } = client;
      client.query = function (...args) {
        const answer = query.apply(this, args);
        const newest = this._queryQueue.at(-1) || this._activeQuery;
        const { callback } = newest;
        newest.callback = function (...given) {
          seen.push([given.length, given[0] && given[0].code, given[1] && given[1].rows]);
          return callback.apply(this, given);
        };
        return answer;
      };
      const ways = [
        () => client.query('SELECT 1 AS one'),
        () => client.query('SELECT $1::int AS two', [2]),
        () => outcome(client.query('SELECT 1 / 0')),
        () => calledBack((done) => client.query('SELECT 3 AS three', done)),
      ];
      const answers = [];
      for (const way of ways) answers.push(await way());
      const both = Promise.all([client.query('SELECT 4 AS four'), client.query('SELECT 5 AS five')]);
      const waiting = client._queryQueue.length;
      const { text } = client._queryQueue[0];
      const rows = (await both).map((result) => result.rows);
      const own = ['_activeQuery', '_queryQueue'].map((name) => Object.hasOwn(client, name));
      return [
        answers.length,
        answers[0].rows,
        answers[2],
        answers[3][1].rows,
        seen,
        waiting,
        text,
        rows,
        own,
        client._queryQueue,
      ];
    }),
  );

  alike('shows a Query, with its events, of every form of call', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const notes = [];
      const look = (name) => {
        const newest = client._queryQueue.at(-1) || client._activeQuery;
        notes.push([name, newest instanceof driver.Query, newest.text, newest.name, newest.values]);
        journal(newest, ['row', 'end', 'error'], notes, `${name} `);
        return newest === (client._queryQueue.at(-1) || client._activeQuery);
      };
      const forms = {
        promise: (...args) => outcome(client.query(...args)),
        callback: (...args) => calledBack((done) => client.query(...args, done)),
        query: (...args) => calledBack((done) => client.query(new driver.Query(...args, done))),
      };
      for (const [name, form] of Object.entries(forms)) {
        for (const text of ['SELECT 1 AS one', 'SELECT 1 / 0']) {
          const answer = form({ text, name: text.slice(-3) });
          notes.push(look(name));
          await answer;
        }
      }
      const both = [client.query('SELECT 1'), client.query('SELECT $1::int', [2])];
      notes.push(look('queued'));
      await Promise.all(both);
      return notes;
    }),
  );

  alike('holds what was asked for before the connection was there', async (driver, config) => {
    const client = new driver.Client(config());
    const early = client.query('SELECT 1 AS one');
    const [shown] = client._queryQueue;
    const before = [
      client._queryQueue.length,
      client._activeQuery === null || client._activeQuery === undefined,
      shown.text,
    ];
    const { callback } = shown;
    shown.callback = (error, result) => callback(error, { ...result, seen: true });
    await client.connect();
    const { rows, seen } = await early;
    await client.end();
    return [before, rows, seen];
  });
});

describe('Query objects', () => {
  alike('are cancelled on the server by another client', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const query = client.query(new driver.Query('SELECT pg_sleep(60)'));
      const failed = calledBack((done) => query.on('error', done));
      await asleep(client.processID);
      new driver.Client(config()).cancel(client, query);
      const [error] = await failed;
      return [told(error), (await client.query('SELECT 1 AS x')).rows];
    }),
  );

  alike('emit row and end, and keep no rows when somebody takes them', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const notes = [];
      const query = new driver.Query('SELECT generate_series(1, 3) AS n');
      const returned = client.query(query);
      query.on('row', (row, result) => notes.push([row, result.fields.length]));
      const [result] = await calledBack((done) => query.on('end', done));
      return [returned === query, notes, result.rows.length, result.rowCount];
    }),
  );

  alike('keep rows for a callback, and emit them too', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const notes = [];
      const args = await calledBack((done) => {
        const query = client.query(new driver.Query('SELECT generate_series(1, 2) AS n', done));
        query.on('row', (row) => notes.push(row.n));
      });
      return [args[0], args[1].rows, notes];
    }),
  );

  alike('emit error and no end', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const query = client.query(new driver.Query('SELECT nonsense'));
      const notes = journal(query, ['row', 'end', 'error']);
      await until(() => notes.length > 0);
      await client.query('SELECT 1');
      return notes;
    }),
  );

  alike('with a time limit do not end a process that does not listen', (driver, config) =>
    inProcess(driver, config({ query_timeout: 50 }), async (pg, options) => {
      const client = new pg.Client(options);
      await client.connect();
      const query = new pg.Query('SELECT pg_sleep(0.2)');
      client.query(query);
      const failing = client.query(new pg.Query('SELECT nonsense'));
      await client.query('SELECT 1').catch(() => {});
      console.log(failing === query, 'alive');
      await client.end();
    }),
  );

  alike('are told of their failure by handleError', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const told = [];
      class Patient extends driver.Query {
        handleError(error, connection) {
          told.push(error.message, connection === client.connection);
          super.handleError(error, connection);
        }
      }
      const args = await calledBack((done) => client.query(new Patient('SELECT nonsense', done)));
      return [told, args[0].message];
    }),
  );

  alike('are the Query of the client', (driver) => [driver.Client.Query === driver.Query, driver.Query.name]);
});

describe('what the server says by itself', () => {
  alike('notices', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const notices = [];
      client.on('notice', (notice) => notices.push(notice));
      await client.query("DO $$ BEGIN RAISE NOTICE 'hello' USING DETAIL = 'more', HINT = 'less'; END $$");
      const [{ name, message, severity, code, detail, hint, length }] = notices;
      return [name, message, severity, code, detail, hint, length, notices[0] instanceof Error];
    }),
  );

  alike('notifications', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const seen = [];
      client.on('notification', (message) => seen.push(message));
      await client.query('LISTEN news');
      await client.query("NOTIFY news, 'today'");
      await until(() => seen.length > 0);
      const [{ processId, ...rest }] = seen;
      return [{ ...rest }, processId === client.processID];
    }),
  );

  alike('the parameters of the session, at the start and when they change', async (driver, config) => {
    const client = new driver.Client(config());
    const seen = {};
    client.connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
      seen[parameterName] = parameterValue;
    });
    await client.connect();
    const first = seen.TimeZone;
    await client.query("SET TIME ZONE 'Asia/Tokyo'");
    await until(() => seen.TimeZone !== first);
    await client.end();
    return [seen.server_encoding, seen.client_encoding, seen.TimeZone, seen.standard_conforming_strings];
  });
});

describe('the end of a client', () => {
  alike('resolves after the event, and again, and refuses queries', async (driver, config) => {
    const client = new driver.Client(config());
    const notes = journal(client, EVENTS);
    await client.connect();
    await client.end();
    notes.push('ended');
    await client.end();
    return [notes, await outcome(client.query('SELECT 1')), await calledBack((done) => client.end(done))];
  });

  alike('of a client that never connected is immediate', async (driver, config) => {
    const client = new driver.Client(config());
    const sync = [];
    client.end(() => sync.push('called back'));
    return [sync, await outcome(client.end())];
  });

  alike('fails a query under way', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const running = outcome(client.query('SELECT pg_sleep(10)'));
    await client.end();
    return running;
  });

  alike('forced by the server comes in the order of pg', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const notes = journal(client, ['error', 'end']);
    const note = (name) => (error) => notes.push(`${name}: ${error.message}`);
    client.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(note('first'));
    client.query('SELECT 1').catch(note('second'));
    client.query('SELECT 1').catch(note('third'));
    await until(() => notes.length === 5);
    await client.query('SELECT 1').catch(note('later'));
    await client.end();
    return notes;
  });

  alike('of an idle client by the server is told as an error', async (driver, config) => {
    const [client, killer] = [new driver.Client(config()), new driver.Client(config())];
    await Promise.all([client.connect(), killer.connect()]);
    const notes = journal(client, ['error', 'end']);
    await killer.query('SELECT pg_terminate_backend($1)', [client.processID]);
    await until(() => notes.includes('end'));
    await killer.end();
    return notes;
  });

  test('tells the code of the system call that failed', async () => {
    const { host, port } = config();
    const proxy = await Proxy.start({ host, port });
    const client = new Client(config({ host: proxy.host, port: proxy.port }));
    const errors = [];
    client.on('error', (error) => errors.push(error));
    await client.connect();
    const failed = client.query('SELECT pg_sleep($1)', [20]).catch((error) => error);
    await asleep(client.processID);
    proxy.cut('reset');
    const { message, code, cause } = await failed;
    expect({ message, code, cause: cause.message }).toEqual({
      message: 'Connection terminated unexpectedly',
      code: 'ECONNRESET',
      cause: 'read ECONNRESET',
    });
    expect(errors.map((error) => [error.message, error.code])).toEqual([
      ['Connection terminated unexpectedly', 'ECONNRESET'],
    ]);
    await client.end();
    await proxy.stop();
  });

  alike('by cutting the stream is a loss', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const notes = journal(client, ['error', 'end']);
    client.connection.stream.destroy();
    await until(() => notes.includes('end'));
    return notes;
  });
});

describe('the stream behind it', () => {
  alike('tells how far the connection is, as a socket does', async (driver, config) => {
    const client = new driver.Client(config());
    const { stream } = client.connection;
    const look = () => [
      stream.readyState,
      stream.connecting,
      stream.pending,
      stream.destroyed,
      typeof stream.setTimeout(0),
    ];
    const states = [look()];
    const connected = client.connect();
    states.push(look());
    await connected;
    states.push(look());
    await client.end();
    states.push(look());
    return states;
  });

  alike('is encrypted if the connection is', async (driver, config) => {
    const plain = await withClient(driver, config(), (client) => Boolean(client.connection.stream.encrypted));
    if (!server().embedded) return [plain];
    const ssl = { ca: server().ca };
    return [
      plain,
      await withClient(
        driver,
        config({ host: 'localhost', ssl }),
        (client) => client.connection.stream.encrypted,
      ),
    ];
  });
});

describe('a replication connection', () => {
  alike('answers commands, and fails them, as any other', (driver, config) =>
    withClient(driver, config({ replication: 'database' }), async (client) => {
      if (!server().embedded) return 'not ours';
      const system = await client.query('IDENTIFY_SYSTEM');
      const several = await client.query({
        text: "SELECT 1::int4 AS n, true AS b; SELECT ''",
        rowMode: 'array',
      });
      const events = client.query(new driver.Query("SELECT 'a' AS t"));
      const [row] = await once(events, 'row');
      const called = await calledBack((done) => client.query('SHOW server_version', done));
      return [
        [system.command, system.rowCount, system.fields.map(({ name }) => name), Object.keys(system.rows[0])],
        several.map(({ rows, command, rowCount }) => [rows, command, rowCount]),
        row,
        [called[0], Object.keys(called[1].rows[0])],
        await outcome(client.query('START_REPLICATION nowhere')),
        await outcome(client.query('SELECT $1::int4', [1])),
        (await client.query('')).rows,
        client.getTransactionStatus(),
      ];
    }),
  );

  alike('streams in both directions until it is ended', async (driver, config) => {
    if (!server().embedded) return 'not ours';
    const [client, writer] = [
      new driver.Client(config({ replication: 'database' })),
      new driver.Client(config()),
    ];
    await Promise.all([client.connect(), writer.connect()]);
    const { connection } = client;
    const kinds = new Set();
    const notes = [];
    connection.on('copyData', ({ chunk }) => kinds.add(String.fromCharCode(chunk[0])));
    const {
      rows: [{ xlogpos }],
    } = await client.query('IDENTIFY_SYSTEM');
    const stream = outcome(client.query(`START_REPLICATION PHYSICAL ${xlogpos}`));
    await once(connection, 'replicationStart');
    await writer.query("SELECT pg_logical_emit_message(false, 'test', 'something')");
    await until(() => kinds.has('w'));
    connection.stream.pause();
    connection.stream.resume();
    // A standby's status that asks for an answer.
    const status = Buffer.alloc(34);
    status[0] = 0x72;
    status[33] = 1;
    kinds.clear();
    connection.sendCopyFromChunk(status);
    await until(() => kinds.has('k'));
    connection.endCopyFrom();
    const ended = await stream;
    notes.push(ended.error || ended.value.command);
    const again = outcome(client.query(`START_REPLICATION PHYSICAL ${xlogpos}`));
    await once(connection, 'replicationStart');
    await Promise.all([client.end(), writer.end()]);
    return [...notes, await again];
  });
});

describe('the object itself', () => {
  alike('has the properties of its connection', (driver) => {
    const client = new driver.Client(
      'postgres://reader:geheim@db.example:6543/news?application_name=desk&ssl=no-verify',
    );
    const {
      user,
      database,
      host,
      port,
      ssl,
      sslNegotiation,
      binary,
      pipeline,
      replication,
      processID,
      secretKey,
    } = client;
    const hidden = /geheim/.test(require('node:util').inspect(client, { depth: 20 }));
    const { password } = client;
    const conf = client.getStartupConf();
    return {
      user,
      database,
      host,
      port,
      ssl,
      sslNegotiation,
      binary,
      pipeline,
      replication,
      processID,
      secretKey,
      hidden,
      password,
      conf,
    };
  });

  alike('reads the environment beneath its options', (driver) => {
    const saved = { ...process.env };
    Object.assign(process.env, {
      PGHOST: 'env.example',
      PGPORT: '7000',
      PGUSER: 'env',
      PGPASSWORD: 'word',
      PGAPPNAME: 'app',
      PGSSLMODE: 'no-verify',
    });
    delete process.env.PGDATABASE;
    try {
      const plain = new driver.Client();
      const told = new driver.Client({ host: 'option.example', user: 'option', ssl: false });
      const show = ({ connectionParameters: { ...all }, password }) => ({ ...all, password });
      return [show(plain), show(told)];
    } finally {
      for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
      Object.assign(process.env, saved);
    }
  });

  alike('refuses an sslnegotiation that does not exist, or without ssl', (driver) => [
    thrown(() => new driver.Client({ sslnegotiation: 'quick' })),
    thrown(() => new driver.Client({ sslnegotiation: 'direct' })),
  ]);

  alike('escapes identifiers and literals', (driver) => {
    const client = new driver.Client();
    return [
      client.escapeIdentifier('a"b'),
      client.escapeLiteral("it's"),
      client.escapeLiteral('a\\b'),
      client.escapeLiteral(null),
    ];
  });

  alike('parseInt8 changes the parsers at once, and back', (driver) => {
    const parse = () => driver.types.getTypeParser(20, 'text')('7');
    driver.defaults.parseInt8 = true;
    const on = parse();
    driver.defaults.parseInt8 = false;
    return [on, parse(), Object.keys(driver.defaults)];
  });
});
