'use strict';

// A request that its caller gave up: its place in the pool is free again soon, whatever the server does, and the cancel
// request travels as the session does.

const { Client, Pool } = require('../..');
const { Proxy } = require('../support/proxy');
const { authenticationOk, backendKeyData, readyForQuery } = require('../support/backend-messages');
const { ScriptedServer, close, skipTo, stall } = require('../support/scripted-server');
const { asleep, config, server } = require('../support/server');
const { undo } = require('../support/undo');
const { until } = require('../support/until');

const CANCEL_REQUEST = Buffer.from([0x04, 0xd2, 0x16, 0x2e]);
const SSL_REQUEST = Buffer.from([0x04, 0xd2, 0x16, 0x2f]);
const embedded = server().tls ? describe : describe.skip;

function poolOf(options) {
  const pool = new Pool({ max: 1, ...options });
  pool.on('error', () => {});
  undo.push(() => pool.end());
  return pool;
}

async function proxied() {
  const { host, port } = config();
  const proxy = await Proxy.start({ host, port });
  undo.push(() => proxy.stop());
  const begun = [];
  proxy.on('link', (link) => link.client.once('data', (bytes) => begun.push(bytes.subarray(4, 8))));
  return { proxy, begun, place: { host: proxy.host, port: proxy.port } };
}

const isCancelled = (pid) =>
  until(
    async () => {
      const client = new Client(config());
      await client.connect();
      try {
        const { rows } = await client.query(
          "SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%pg_sleep%'",
          [pid],
        );
        return rows.length === 0;
      } finally {
        await client.end();
      }
    },
    { what: 'the statement to be stopped on the server' },
  );

embedded('a cancel request over TLS', () => {
  test.each(['postgres', 'direct'])(
    'carries its key encrypted (sslnegotiation %s)',
    async (sslnegotiation) => {
      const { begun, place } = await proxied();
      const ssl = { ca: server().ca, servername: config().host };
      const pool = poolOf({ ...config(), ...place, ssl, sslnegotiation });
      const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
      await expect(pool.query({ text: 'SELECT pg_sleep(60)', query_timeout: 50 })).rejects.toThrow('timeout');
      await isCancelled(rows[0].pid);
      await until(() => begun.length === 2, { what: 'the cancel request' });
      expect(begun.filter((bytes) => bytes.equals(CANCEL_REQUEST))).toEqual([]);
      const asked = begun.filter((bytes) => bytes.equals(SSL_REQUEST)).length;
      expect(asked).toBe(sslnegotiation === 'direct' ? 0 : 2);
      // Cancelled in time, the connection serves on.
      expect((await pool.query('SELECT pg_backend_pid() AS pid')).rows).toEqual(rows);
    },
  );

  test.each(['postgres', 'direct'])('of another client is encrypted, too (%s)', async (sslnegotiation) => {
    const { begun, place } = await proxied();
    const options = {
      ...config(),
      ...place,
      ssl: { ca: server().ca, servername: config().host },
      sslnegotiation,
    };
    const client = new Client(options);
    await client.connect();
    undo.push(() => client.end());
    const sleeping = client.query(new Client.Query('SELECT pg_sleep(60)'));
    const failed = new Promise((resolve) => sleeping.once('error', resolve));
    await asleep(client.processID);
    new Client(options).cancel(client, sleeping);
    expect(await failed).toMatchObject({ code: '57014' });
    expect(begun.filter((bytes) => bytes.equals(CANCEL_REQUEST))).toEqual([]);
  });

  test('is not sent to a server whose certificate does not verify', async () => {
    const { begun, place } = await proxied();
    const client = new Client(config());
    await client.connect();
    undo.push(() => client.end());
    const sleeping = client.query(new Client.Query('SELECT pg_sleep(60)'));
    sleeping.on('error', () => {});
    const asking = new Client({ ...config(), ...place, ssl: true });
    const refused = new Promise((resolve) => asking.once('error', resolve));
    asking.cancel(client, sleeping);
    expect((await refused).code).toMatch(/CERT|SIGNATURE/);
    expect(begun.filter((bytes) => bytes.equals(CANCEL_REQUEST))).toEqual([]);
    client.connection.stream.destroy();
  });
});

describe('a place in the pool is free again', () => {
  test('when neither the statement nor its cancel is answered, while a caller waits', async () => {
    const { proxy, place } = await proxied();
    const pool = poolOf({ ...config(), ...place, acquireTimeoutMillis: 6000 });
    await pool.query('SELECT 1');
    for (const link of proxy.links) link.stall();
    await expect(pool.query({ text: 'SELECT 1', query_timeout: 50 })).rejects.toThrow('timeout');
    expect((await pool.query('SELECT 2 AS n')).rows).toEqual([{ n: 2 }]);
  });

  describe('and a query that is readOnly', () => {
    let pool;
    let proxy;
    const retries = [];

    beforeEach(async () => {
      const front = await proxied();
      proxy = front.proxy;
      pool = poolOf({ ...config(), ...front.place, max: 2, acquireTimeoutMillis: 6000, retryAttempts: 3 });
      pool.on('retry', ({ code }) => retries.push(code));
      await pool.query('SELECT 1');
      retries.length = 0;
    });

    const stallAll = () => {
      for (const link of proxy.links) link.stall();
    };

    test('runs again where its connection turned out to be dead', async () => {
      stallAll();
      const query = { text: 'SELECT 3 AS n', query_timeout: 50 };
      const [read, other] = await Promise.allSettled([
        pool.query({ ...query, readOnly: true }),
        pool.query(query),
      ]);
      expect(read.value.rows).toEqual([{ n: 3 }]);
      expect(other).toMatchObject({ status: 'fulfilled' });
      stallAll();
      await expect(pool.query(query)).rejects.toThrow('Query read timeout');
    });

    test('is told its timeout where it was slow', async () => {
      const slow = { text: 'SELECT pg_sleep(60)', readOnly: true, query_timeout: 50 };
      await expect(pool.query(slow)).rejects.toThrow('Query read timeout');
      expect(retries).toEqual([]);
      await pool.query('SELECT 1');
    });

    test('is told its deadline when that is over', async () => {
      stallAll();
      const query = { text: 'SELECT 3 AS n', readOnly: true, deadline: 50 };
      await expect(pool.query(query)).rejects.toThrow('Query read timeout');
      expect(retries).toEqual([]);
    });

    test('is withdrawn while that is being found out', async () => {
      stallAll();
      const control = new AbortController();
      const query = { text: 'SELECT 3', readOnly: true, query_timeout: 50, signal: control.signal };
      const answer = pool.query(query);
      await until(() => proxy.accepted > 1, { what: 'the cancel request' });
      control.abort();
      await expect(answer).rejects.toThrow('aborted');
      expect(retries).toEqual([]);
    });
  });

  test.each(['query_timeout', 'signal', 'deadline', 'maxResultBytes'])(
    'in a pipeline, and what was given up by %s stops on the server',
    async (way) => {
      const pool = poolOf({ ...config(), pipeline: true, acquireTimeoutMillis: 6000 });
      const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
      const given = {
        query_timeout: { query_timeout: 50 },
        signal: { signal: AbortSignal.timeout(50) },
        deadline: { deadline: 50 },
        maxResultBytes: { maxResultBytes: 100 },
      }[way];
      const text =
        "SELECT repeat('x', 1000) FROM generate_series(1, 100) UNION ALL SELECT pg_sleep(60)::text";
      await expect(pool.query({ text, ...given })).rejects.toThrow();
      expect((await pool.query('SELECT 3 AS n')).rows).toEqual([{ n: 3 }]);
      await isCancelled(rows[0].pid);
    },
  );

  test('at once where the server sent no key, and without a cancel request', async () => {
    const keyless = [authenticationOk(), readyForQuery()];
    let cancels = 0;
    const script = await ScriptedServer.start((number) => [
      async (session) => {
        const { type } = await session.next();
        if (type === 'cancel') cancels += 1;
        else await session.run([...keyless, number === 0 ? stall() : close()]);
      },
    ]);
    undo.push(() => script.stop());
    const pool = poolOf({ host: script.host, port: script.port, user: 'x', database: 'x', password: 'x' });
    await expect(pool.query({ text: 'SELECT 1', query_timeout: 50 })).rejects.toThrow('timeout');
    await until(() => pool.totalCount === 0, { what: 'the place to be free' });
    expect(cancels).toBe(0);
  });
});

test('each of several aborts asks the server to cancel, while the cancel requests before it are pending', async () => {
  const cancelled = [];
  let asked = 0;
  const script = await ScriptedServer.start((number) => [
    async (session) => {
      const { type, body } = await session.next();
      if (type === 'cancel') cancelled.push(body.readInt32BE(4));
      else {
        await session.run([authenticationOk(), backendKeyData(number), readyForQuery(), skipTo('Q')]);
        asked += 1;
      }
      await stall()(session);
    },
  ]);
  undo.push(() => script.stop());
  const place = { host: script.host, port: script.port, user: 'x', database: 'x', password: 'x' };
  const pool = poolOf({ ...place, max: 3 });
  for (let count = 1; count <= 3; count++) {
    const controller = new AbortController();
    const query = pool.query({ text: 'SELECT 1', signal: controller.signal });
    await until(() => asked === count, { what: `statement ${count}` });
    controller.abort(new Error('enough'));
    await expect(query).rejects.toThrow('enough');
    await until(() => cancelled.length === count, { what: `cancel request ${count}` });
  }
  expect(new Set(cancelled).size).toBe(3);
});
