'use strict';

// A client that is given back while a submittable still has its connection, in every state of a cursor, query stream
// and COPY: the connection serves the next query soon, alive or replaced, and the submittable is answered.

const { once } = require('node:events');
const Cursor = require('pg-cursor');
const { from, to } = require('pg-copy-streams');
const QueryStream = require('pg-query-stream');
const { Pool } = require('../..');
const { admin, freshDatabase } = require('../support/server');
const { until } = require('../support/until');

const RELEASED = 'the client was released while its query was still open';
const SERIES = 'SELECT generate_series(1, 100000) AS n';
const COPY_OUT = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT";
const COPY_IN = 'COPY early_release FROM STDIN';

const ignore = () => {};

/** `promise`, whose rejection may also be nobody's. */
const quiet = (promise) => {
  promise.catch(ignore);
  return promise;
};

/** How a stream ends. */
const endOf = (stream) =>
  new Promise((resolve) => {
    for (const event of ['error', 'end', 'finish', 'close']) stream.once(event, () => resolve(event));
  });

/** A reader of a query stream hears of its end when it reads on. */
const readOn = (stream) => {
  const ended = endOf(stream);
  return () => {
    stream.resume();
    return ended;
  };
};

// Each way begins something on `client` and resolves, when asked, once that is answered.
const WAYS = {
  'a cursor that is never read': (client) => {
    const cursor = client.query(new Cursor(SERIES));
    return () => until(() => cursor.state === 'error' || cursor.state === 'done');
  },
  'a cursor that was described': async (client) => {
    const cursor = client.query(new Cursor(SERIES));
    await until(() => cursor.state === 'idle');
    return () => until(() => cursor.state === 'error');
  },
  'a cursor with a read under way': (client) => {
    const reading = quiet(client.query(new Cursor(SERIES)).read(10));
    return async () => expect(await reading).toHaveLength(10);
  },
  'a cursor with a read that takes long': (client) => {
    const reading = quiet(client.query(new Cursor('SELECT pg_sleep(600)')).read(1));
    return () => expect(reading).rejects.toThrow(RELEASED);
  },
  'a cursor between two reads': async (client) => {
    const cursor = client.query(new Cursor(SERIES));
    await cursor.read(10);
    return () => expect(cursor.read(10)).rejects.toThrow(RELEASED);
  },
  'a cursor with a close under way': async (client) => {
    const cursor = client.query(new Cursor(SERIES));
    await cursor.read(10);
    const closed = quiet(cursor.close());
    return () => closed;
  },
  'a cursor behind a query': (client) => {
    quiet(client.query('SELECT 1'));
    const cursor = client.query(new Cursor(SERIES));
    return () => until(() => cursor.state === 'error');
  },
  'a cursor with a read behind a query': (client) => {
    quiet(client.query('SELECT 1'));
    const reading = quiet(client.query(new Cursor(SERIES)).read(10));
    return async () => expect(await reading).toHaveLength(10);
  },
  'a cursor behind a query that takes long': (client) => {
    const query = quiet(client.query('SELECT pg_sleep(600)'));
    const reading = quiet(client.query(new Cursor(SERIES)).read(10));
    return async () => {
      await expect(query).rejects.toThrow('Connection terminated');
      await expect(reading).rejects.toThrow(RELEASED);
    };
  },
  'two cursors': (client) => {
    const cursors = [client.query(new Cursor(SERIES)), client.query(new Cursor(SERIES))];
    return () => until(() => cursors.every((cursor) => cursor.state === 'error'));
  },
  'a query stream that is never read': (client) => {
    return readOn(client.query(new QueryStream(SERIES)));
  },
  'a query stream that was read in part': async (client) => {
    const stream = client.query(new QueryStream(SERIES, [], { batchSize: 10 }));
    await once(stream, 'readable');
    stream.read();
    return readOn(stream);
  },
  'a query stream that is paused': async (client) => {
    const stream = client.query(new QueryStream(SERIES, [], { batchSize: 10 }));
    stream.once('data', () => stream.pause());
    await once(stream, 'data');
    return readOn(stream);
  },
  'a query stream that was destroyed': async (client) => {
    const stream = client.query(new QueryStream(SERIES, [], { batchSize: 10 }));
    await once(stream, 'readable');
    const ended = endOf(stream);
    stream.destroy();
    return () => ended;
  },
  'a query stream behind a query': (client) => {
    quiet(client.query('SELECT 1'));
    return readOn(client.query(new QueryStream(SERIES)));
  },
  'a COPY TO that is never read': (client) => {
    const ended = endOf(client.query(to(COPY_OUT)));
    return () => ended;
  },
  'a COPY TO that was read in part': async (client) => {
    const stream = client.query(to(COPY_OUT));
    const ended = endOf(stream);
    await once(stream, 'readable');
    stream.read(10);
    return () => ended;
  },
  'a COPY TO that is paused': async (client) => {
    const stream = client.query(to(COPY_OUT));
    const ended = endOf(stream);
    stream.once('data', () => stream.pause());
    await once(stream, 'data');
    return () => ended;
  },
  'a COPY TO that was destroyed': async (client) => {
    const stream = client.query(to(COPY_OUT));
    await once(stream, 'readable');
    const ended = endOf(stream);
    stream.destroy();
    return () => ended;
  },
  'a COPY FROM that is never written': (client) => {
    const ended = endOf(client.query(from(COPY_IN)));
    return () => ended;
  },
  'a COPY FROM that was written in part': async (client) => {
    const stream = client.query(from(COPY_IN));
    const ended = endOf(stream);
    await new Promise((resolve) => stream.write('1\n', resolve));
    return () => ended;
  },
  'a COPY FROM that is ended': (client) => {
    const stream = client.query(from(COPY_IN));
    const ended = endOf(stream);
    stream.end('1\n');
    return async () => expect(await ended).toBe('finish');
  },
  'a COPY FROM behind a query': (client) => {
    quiet(client.query('SELECT 1'));
    const ended = endOf(client.query(from(COPY_IN)));
    return () => ended;
  },
};

let database;

beforeAll(async () => {
  database = await freshDatabase();
  const pool = new Pool(database.config());
  await pool.query('CREATE TABLE early_release (n int)');
  await pool.end();
});

afterAll(() => database.drop());

describe.each(Object.entries(WAYS))('%s, and its client is released', (name, begin) => {
  let pool;

  beforeEach(() => {
    pool = new Pool(database.config({ max: 1 }));
  });

  test('is answered, and the next query is served', async () => {
    const client = await pool.connect();
    const answered = await begin(client);
    client.release();
    const next = pool.query('SELECT 2 AS two');
    await Promise.all([answered(), next]);
    expect((await next).rows).toEqual([{ two: 2 }]);
    await pool.end();
    expect(pool.totalCount).toBe(0);
  });

  test('keeps no pool from ending', async () => {
    const client = await pool.connect();
    await begin(client);
    client.release();
    await pool.end();
    expect(pool.totalCount).toBe(0);
  });
});

const terminate = (client) => admin('SELECT pg_terminate_backend($1)', [client.processID]);

// What has the connection when the server's process ends; resolves once that has been told.
const VICTIMS = {
  'a cursor': async (client) => {
    const cursor = client.query(new Cursor(SERIES));
    await cursor.read(10);
    return () =>
      until(() =>
        cursor.read(10).then(
          () => false,
          () => true,
        ),
      );
  },
  'a read of a cursor': async (client) => {
    const reading = quiet(client.query(new Cursor('SELECT pg_sleep(600)')).read(1));
    return () => reading.catch(ignore);
  },
  'a query stream': async (client) => {
    const reading = client.query(new QueryStream('SELECT pg_sleep(600)')).toArray();
    return () => reading.catch(ignore);
  },
  'a COPY FROM': async (client) => {
    const stream = client.query(from(COPY_IN));
    const ended = once(stream, 'error');
    stream.write('1\n');
    return () => ended;
  },
};

test.each(Object.entries(VICTIMS))(
  '%s whose connection is lost gives its place in the pool back',
  async (name, begin) => {
    const pool = new Pool(database.config({ max: 1 }));
    const client = await pool.connect();
    client.on('error', ignore);
    const failed = await begin(client);
    const terminated = terminate(client);
    await failed();
    client.release();
    await terminated;
    expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
    await pool.end();
    expect(pool.totalCount).toBe(0);
  },
);
