'use strict';

// AbortSignals in every phase of a query and of a checkout, and `await using`.

const { execFileSync } = require('node:child_process');
const net = require('node:net');
const { getEventListeners, once } = require('node:events');
const { Client, Pool, Query } = require('../..');
const { asleep, config, server } = require('../support/server');

const REASON = new Error('no longer wanted');

let pool;

beforeEach(() => {
  pool = new Pool(config({ max: 1 }));
});

afterEach(() => pool.end());

/** Aborted as soon as the server's process runs the query. */
async function abortWhenRunning(controller, pid) {
  await asleep(pid);
  controller.abort(REASON);
}

test('a command of a replication connection is cancelled, and withdrawn while it waits', async () => {
  if (!server().embedded) return;
  const client = new Client(config({ replication: 'database' }));
  await client.connect();
  const controller = new AbortController();
  const queries = ['SELECT pg_sleep(60)', 'SELECT 1'].map((text) =>
    client.query({ text, signal: controller.signal }),
  );
  const rejected = queries.map((query) => expect(query).rejects.toBe(REASON));
  await Promise.all([...rejected, abortWhenRunning(controller, client.processID)]);
  expect((await client.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
  await client.end();
});

test('one signal of many requests warns of nothing, and ends all of them', async () => {
  const warnings = [];
  const note = (warning) => warnings.push(warning.name);
  process.on('warning', note);
  const controller = new AbortController();
  const { signal } = controller;
  const client = new Client(config());
  await client.connect({ signal });
  const queries = Array.from({ length: 100 }, (_, n) =>
    pool.query({ text: n === 0 ? 'SELECT 1 AS one' : 'SELECT pg_sleep(60)', signal }),
  );
  const [first, ...others] = queries;
  expect((await first).rows).toEqual([{ one: 1 }]);
  const checkouts = Array.from({ length: 20 }, () => pool.connect({ signal }));
  const rejected = [...others, ...checkouts].map((request) => expect(request).rejects.toBe(REASON));
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  controller.abort(REASON);
  await Promise.all(rejected);
  await client.end();
  process.removeListener('warning', note);
  expect(warnings).toEqual([]);
});

describe('a query of the pool', () => {
  test('is rejected at once by a signal that has aborted already, and never sent', async () => {
    const signal = AbortSignal.abort(REASON);
    await expect(pool.query({ text: 'SELECT 1', signal })).rejects.toBe(REASON);
    expect(pool.totalCount).toBe(0);
  });

  test('is withdrawn while it connects', async () => {
    const controller = new AbortController();
    const query = pool.query({ text: 'SELECT 1', signal: controller.signal });
    controller.abort(REASON);
    await expect(query).rejects.toBe(REASON);
    expect(pool.waitingCount).toBe(0);
  });

  test('is withdrawn while it waits', async () => {
    const client = await pool.connect();
    const controller = new AbortController();
    const query = pool.query({ text: 'SELECT 1', signal: controller.signal });
    expect(pool.waitingCount).toBe(1);
    controller.abort(REASON);
    expect(pool.waitingCount).toBe(0);
    await expect(query).rejects.toBe(REASON);
    client.release();
  });

  test('is cancelled on the server while it runs, and the next query is not hit', async () => {
    const { pid } = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0];
    for (let i = 0; i < 3; i++) {
      const controller = new AbortController();
      const query = pool.query({ text: 'SELECT pg_sleep(60)', signal: controller.signal });
      await Promise.all([expect(query).rejects.toBe(REASON), abortWhenRunning(controller, pid)]);
      expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
    }
    expect(pool.totalCount).toBe(1);
  });

  test('takes no notice of a signal that aborts after it has been answered', async () => {
    const controller = new AbortController();
    const { rows } = await pool.query({ text: 'SELECT 3 AS three', signal: controller.signal });
    controller.abort(REASON);
    expect(rows).toEqual([{ three: 3 }]);
    expect((await pool.query('SELECT 4 AS four')).rows).toEqual([{ four: 4 }]);
  });

  test('tells its callback', async () => {
    const heard = new Promise((resolve) => {
      pool.query({ text: 'SELECT 1', signal: AbortSignal.abort(REASON) }, (error) => resolve(error));
    });
    expect(await heard).toBe(REASON);
  });

  test('is also heeded where queries run on clients', async () => {
    pool.on('acquire', () => {});
    const client = await pool.connect();
    const controller = new AbortController();
    const query = pool.query({ text: 'SELECT 1', signal: controller.signal });
    controller.abort(REASON);
    await expect(query).rejects.toBe(REASON);
    client.release();
  });

  test('fails with the exception of its type parser, in every form, and leaves its signal', async () => {
    const thrown = new Error('cannot read it');
    const types = {
      getTypeParser: () => () => {
        throw thrown;
      },
    };
    const { signal } = new AbortController();
    const one = { text: 'SELECT 1 AS one', types, signal };
    const calledBack = (query) => new Promise((resolve) => query(one, resolve));
    const rows = async (stream) => {
      for await (const row of stream) return row;
    };
    await expect(pool.query(one)).rejects.toBe(thrown);
    expect(await calledBack((...args) => pool.query(...args))).toBe(thrown);
    await expect(rows(pool.stream(one))).rejects.toBe(thrown);
    const client = await pool.connect();
    await expect(client.query(one)).rejects.toBe(thrown);
    expect(await calledBack((...args) => client.query(...args))).toBe(thrown);
    expect((await once(client.query(new Query(one)), 'error').catch((error) => [error]))[0]).toBe(thrown);
    client.release();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
  });

  test('refuses what is no signal', async () => {
    await expect(pool.query({ text: 'SELECT 1', signal: 5 })).rejects.toThrow(
      'signal must be an AbortSignal',
    );
  });
});

describe('a query of a client', () => {
  test('is withdrawn behind another one, which goes on', async () => {
    const client = await pool.connect();
    const controller = new AbortController();
    const first = client.query("SELECT pg_sleep(0.1), 'first' AS name");
    const second = client.query({ text: 'SELECT 1', signal: controller.signal });
    controller.abort(REASON);
    await expect(second).rejects.toBe(REASON);
    expect((await first).rows[0].name).toBe('first');
    client.release();
  });

  test('is ended as a Query object too', async () => {
    const client = await pool.connect();
    const controller = new AbortController();
    const failed = once(
      client.query(new Query({ text: 'SELECT pg_sleep(60)', signal: controller.signal })),
      'error',
    );
    await abortWhenRunning(controller, client.processID);
    expect((await failed)[0]).toBe(REASON);
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    client.release();
  });

  test('is cancelled while it runs inside a transaction, which then is a failed one', async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    const controller = new AbortController();
    const query = client.query({ text: 'SELECT pg_sleep(60)', signal: controller.signal });
    await Promise.all([expect(query).rejects.toBe(REASON), abortWhenRunning(controller, client.processID)]);
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' });
    await client.query('ROLLBACK');
    client.release();
    expect(pool.totalCount).toBe(1);
  });
});

describe('a checkout', () => {
  test('is withdrawn while it waits, and the connection goes to the next', async () => {
    const client = await pool.connect();
    const controller = new AbortController();
    const given = pool.connect({ signal: controller.signal });
    const next = pool.connect();
    controller.abort(REASON);
    await expect(given).rejects.toBe(REASON);
    client.release();
    (await next).release();
    expect([pool.idleCount, pool.totalCount]).toEqual([1, 1]);
  });

  test('that has come already is no longer touched', async () => {
    const controller = new AbortController();
    const client = await pool.connect({ signal: controller.signal });
    controller.abort(REASON);
    expect((await client.query('SELECT 5 AS five')).rows).toEqual([{ five: 5 }]);
    client.release();
  });

  test('of an aborted signal is rejected', async () => {
    await expect(pool.connect({ signal: AbortSignal.abort(REASON) })).rejects.toBe(REASON);
  });
});

describe('the connect of a client', () => {
  test('ends with the reason, and its socket is closed', async () => {
    // It accepts and never answers.
    const silent = net.createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const accepted = once(silent, 'connection');
    const controller = new AbortController();
    const client = new Client(config({ host: '127.0.0.1', port: silent.address().port, ssl: false }));
    const connecting = client.connect({ signal: controller.signal });
    const [socket] = await accepted;
    const closed = once(socket, 'close');
    socket.resume();
    socket.on('error', () => {});
    controller.abort(REASON);
    await expect(connecting).rejects.toBe(REASON);
    await closed;
    silent.close();
  });

  test('ends with the reason alone when the connection comes in that very moment', async () => {
    const controller = new AbortController();
    const client = new Client(config({ application_name: 'aborted as it came' }));
    const told = [];
    client.on('error', (error) => told.push(error));
    const ended = new Promise((resolve) => client.once('end', resolve));
    const queued = client.query('SELECT 1').catch((error) => error.message);
    const connecting = client.connect({ signal: controller.signal });
    // This thread learns of the connection only after it has aborted.
    execFileSync(process.execPath, [
      '-e',
      `
      const { Client } = require(${JSON.stringify(require.resolve('pg'))});
      (async () => {
        const client = new Client(${JSON.stringify(config())});
        await client.connect();
        const text = "SELECT FROM pg_stat_activity WHERE application_name = 'aborted as it came' AND state = 'idle'";
        while ((await client.query(text)).rowCount === 0);
        await client.end();
      })();`,
    ]);
    controller.abort(REASON);
    await expect(connecting).rejects.toBe(REASON);
    expect(await queued).toBe('Connection terminated unexpectedly');
    await ended;
    expect(told).toEqual([]);
  });

  test('by a signal that has aborted already is not begun', async () => {
    const client = new Client(config());
    await expect(client.connect({ signal: AbortSignal.abort(REASON) })).rejects.toBe(REASON);
    await client.connect();
    await client.end();
  });
});

(Symbol.asyncDispose ? describe : describe.skip)('await using', () => {
  test('gives a client back, once', async () => {
    const client = await pool.connect();
    await client[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    expect(pool.idleCount).toBe(1);
  });

  test('leaves a client alone that was released', async () => {
    const client = await pool.connect();
    client.release();
    await client[Symbol.asyncDispose]();
    expect(pool.idleCount).toBe(1);
  });

  test('rolls an open transaction back', async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await client[Symbol.asyncDispose]();
    const { rows } = await pool.query('SELECT pg_current_xact_id_if_assigned() IS NULL AS clean');
    expect(rows).toEqual([{ clean: true }]);
  });

  test('ends a client that stands alone', async () => {
    const client = new Client(config());
    await client.connect();
    const ended = once(client, 'end');
    await client[Symbol.asyncDispose]();
    await ended;
  });
});
