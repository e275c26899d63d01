'use strict';

// Outages of a real server, and what becomes of a pool that keeps a minimum: it is back by itself, and
// callers who could wait were served.

const net = require('node:net');
const { once } = require('node:events');
const { Client, Pool } = require('../..');
const { killAll, start } = require('../lifecycle/child');
const { closedPort } = require('../support/ports');
const { startPostgres } = require('../support/postgres');
const { Proxy } = require('../support/proxy');
const { until } = require('../support/until');

const MIN = 6;

let server;
let pools = [];

const connectionOf = ({ host, port, user, password, database }) => ({ host, port, user, password, database });

function poolOf(options = {}) {
  const pool = new Pool({
    ...connectionOf(server),
    enhanced: true,
    failFast: false,
    min: MIN,
    max: 10,
    idleTimeoutMillis: 0,
    connectionTimeoutMillis: 2000,
    acquireTimeoutMillis: 60_000,
    keepAlive: true,
    tcpUserTimeoutMillis: 5000,
    ...options,
  });
  pool.removed = 0;
  pool.on('remove', () => (pool.removed += 1));
  pools.push(pool);
  return pool;
}

/** Resolves when the pool has noticed the loss of `count` connections since it was made. */
async function notices(pool, count) {
  await until(() => pool.removed >= count, {
    what: `the pool to notice the loss of ${count} connections, not ${pool.removed}`,
  });
}

/** Waits until the pool holds its minimum of connections that answer. */
async function isBack(pool, min = MIN) {
  await until(() => pool.idleCount >= min && pool.totalCount === pool.idleCount, {
    what: 'the pool to be at its minimum',
  });
  const clients = await Promise.all(Array.from({ length: min }, () => pool.connect()));
  await Promise.all(clients.map((client) => client.query('SELECT 1')));
  for (const client of clients) client.release();
  expect(pool.idleCount).toBe(pool.totalCount);
  expect(pool.waitingCount).toBe(0);
}

async function filled(options) {
  const pool = poolOf(options);
  await pool.query('SELECT 1');
  await isBack(pool);
  return pool;
}

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: 30 } });
});

afterEach(async () => {
  await Promise.all(pools.map((pool) => (pool.ending ? undefined : pool.end())));
  pools = [];
});

afterAll(async () => {
  killAll();
  await server.stop('immediate');
});

describe('the pool is back at its minimum by itself', () => {
  test.each(['fast', 'immediate'])('after a restart (%s)', async (mode) => {
    const pool = await filled();
    const before = pool.removed + pool.totalCount;
    await server.restart(mode);
    await notices(pool, before);
    await isBack(pool);
  });

  test('after the server was killed and started', async () => {
    const pool = await filled();
    server.kill('SIGKILL');
    await server.exited();
    await until(() => pool.idleCount === 0, { what: 'the pool to notice' });
    await server.start();
    await isBack(pool);
  });

  test('after a crash of one backend, which drops all of them', async () => {
    const pool = await filled();
    const before = pool.removed + pool.totalCount;
    const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
    process.kill(rows[0].pid, 'SIGKILL');
    await notices(pool, before);
    await isBack(pool);
  });

  test('after its backends were terminated', async () => {
    const pool = await filled();
    const before = pool.removed + pool.totalCount;
    await server.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1',
      [server.database],
    );
    await notices(pool, before);
    await isBack(pool);
  });

  test('after the password was changed, and the function that gives it knew', async () => {
    await server.query("CREATE ROLE moving LOGIN PASSWORD 'first'");
    let password = 'first';
    const pool = await filled({ user: 'moving', password: () => password });
    await server.query("ALTER ROLE moving PASSWORD 'second'");
    await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'moving'");
    await until(() => pool.idleCount === 0, { what: 'the pool to notice' });
    // A wrong password will not pass by waiting: it is told at once.
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: '28P01' });
    password = 'second';
    await isBack(pool);
  });

  test('after all of max_connections were taken', async () => {
    const pool = await filled();
    const before = pool.removed + pool.totalCount;
    await server.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1',
      [server.database],
    );
    const { host, port, user, password, database } = server;
    const hogs = [];
    // Superusers' reserve included.
    for (;;) {
      const hog = new Client({ host, port, user, password, database });
      hog.on('error', () => {});
      try {
        await hog.connect();
        hogs.push(hog);
      } catch (error) {
        expect(error.code).toBe('53300');
        break;
      }
    }
    await notices(pool, before);
    await Promise.all(hogs.map((hog) => hog.end()));
    await isBack(pool);
  });

  test('after a partition that swallowed everything', async () => {
    const proxy = await Proxy.start(server);
    try {
      const pool = await filled({ host: proxy.host, port: proxy.port, connectionTimeoutMillis: 1000 });
      const before = pool.removed + pool.totalCount;
      proxy.stall();
      const waiting = pool.query({ text: 'SELECT 1 AS answered', readOnly: true, retryAttempts: 5 });
      // One is found to be lost; the others never say so.
      [...proxy.links].at(-1).cut();
      await until(() => pool.totalCount < MIN || pool.idleCount < MIN - 1, {
        what: 'dead connections to be found',
      });
      for (const link of proxy.links) link.cut();
      proxy.resume();
      expect((await waiting).rows).toEqual([{ answered: 1 }]);
      await notices(pool, before);
      await isBack(pool);
    } finally {
      await Promise.all(pools.map((pool) => pool.end()));
      pools = [];
      await proxy.stop();
    }
  });
});

test('a query sends nothing ahead of itself, however long its connection was idle', async () => {
  const proxy = await Proxy.start(server);
  try {
    const pool = await filled({ host: proxy.host, port: proxy.port });
    const sent = [];
    for (const link of proxy.links) {
      link.client.on('data', (bytes) => sent.push(String.fromCharCode(bytes[0])));
    }
    const begun = Date.now();
    await until(() => Date.now() - begun > 1500, { what: 'the connections to have idled' });
    await pool.query('SELECT 1');
    expect(sent).toEqual(['Q']);
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
    pools = [];
    await proxy.stop();
  }
});

test('a query after the process was frozen is spared the connections that died meanwhile', async () => {
  const proxy = await Proxy.start(server);
  const child = start(
    'pgpool-rs',
    `const pool = new driver.Pool(config({ max: 3, min: 3, enhanced: true, idleTimeoutMillis: 0 }));
     await Promise.all([1, 2, 3].map(() => pool.query('SELECT 1')));
     say('ready');
     process.stdin.once('data', async () => {
       say((await pool.query('SELECT 7 AS n')).rows[0].n);
       await pool.end();
       process.exit();
     });`,
    { ...connectionOf(server), host: proxy.host, port: proxy.port },
  );
  try {
    await until(() => child.lines.length > 0 && proxy.links.size === 3);
    child.process.kill('SIGSTOP');
    for (const link of proxy.links) link.stall();
    const frozenAt = Date.now();
    await until(() => Date.now() - frozenAt > 7000, { what: 'the process to have been frozen for long' });
    child.process.kill('SIGCONT');
    child.process.stdin.write('go\n');
    await child.said(2);
    expect(JSON.parse(child.lines[1])).toBe(7);
  } finally {
    child.kill();
    await proxy.stop();
  }
});

describe('callers', () => {
  test('who can wait are served when the server is back', async () => {
    const pool = await filled();
    server.kill('SIGKILL');
    await server.exited();
    await until(() => pool.idleCount === 0, { what: 'the pool to notice' });
    const waiting = Array.from({ length: 40 }, (_, index) => pool.query('SELECT $1::int AS index', [index]));
    await server.start();
    const answers = await Promise.all(waiting);
    expect(answers.map(({ rows }) => rows[0].index)).toEqual(answers.map((_, index) => index));
    await isBack(pool);
  });

  test('who cannot wait are told at once, as by pg', async () => {
    const pool = poolOf({ failFast: true, port: await closedPort(), min: 0 });
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('whose time runs out are told the last error of connecting', async () => {
    const pool = poolOf({ port: await closedPort(), acquireTimeoutMillis: 1500 });
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({
      code: 'ACQUIRE_TIMEOUT',
      cause: { code: 'ECONNREFUSED' },
    });
  });

  test('of a host that accepts and never answers are settled in time', async () => {
    const mute = net.createServer(() => {}).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const sockets = new Set();
    mute.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
    try {
      const place = { host: '127.0.0.1', port: mute.address().port, connectionTimeoutMillis: 200 };
      const patient = poolOf({ ...place, acquireTimeoutMillis: 700 });
      await expect(patient.query('SELECT 1')).rejects.toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
      const plain = new Pool({ ...place, user: 'nobody', database: 'nothing' });
      await expect(plain.query('SELECT 1')).rejects.toThrow(/timeout/);
      await plain.end();
      await patient.end();
      expect(patient.totalCount).toBe(0);
    } finally {
      for (const socket of sockets) socket.destroy();
      mute.close();
    }
  });

  test('are rejected by end(), which settles while the server is away', async () => {
    const pool = poolOf({ port: await closedPort() });
    const waiting = Array.from({ length: 5 }, () => pool.query('SELECT 1'));
    const outcomes = Promise.allSettled(waiting);
    await pool.end();
    for (const { status } of await outcomes) expect(status).toBe('rejected');
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
  });
});
