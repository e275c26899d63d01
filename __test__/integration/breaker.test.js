'use strict';

// The breaker against a server that can be made unreachable: it opens, lets nothing through but its probes and what
// a connection that is there serves, and closes with the first answer.

const { createServer } = require('node:net');
const { Pool, CircuitOpenError, metrics } = require('../..');
const { Proxy } = require('../support/proxy');
const { admin, config, freshDatabase } = require('../support/server');
const { undo } = require('../support/undo');
const { until } = require('../support/until');

let proxy;
let pools = [];
// Opens with the first connect that fails, and probes later than any test lasts.
const AT_ONCE = { failedConnects: 1, failingMillis: 0 };
const FOR_LONG = { ...AT_ONCE, firstProbeMillis: 600_000, probeMillis: 600_000 };

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
});
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.ending || pool.end()));
  pools = [];
  await proxy.stop();
});

/** A pool through the proxy; the changes of its breaker are gathered in `pool.changes`. */
function proxied(options) {
  const pool = new Pool(config({ host: proxy.host, port: proxy.port, ...options }));
  pool.changes = [];
  pool.on('breaker', (change) => pool.changes.push(change));
  pools.push(pool);
  return pool;
}

const told = (pool) => metrics().pools.find(({ id }) => id === pool._native.metricsId);
const states = (pool) => pool.changes.map(({ state }) => state);
const failing = (pool, times) =>
  Promise.all(Array.from({ length: times }, () => pool.query('SELECT 1').then(fail, (error) => error)));
function fail() {
  throw new Error('the query should have failed');
}

/** Has the breaker open by a failed connect. */
async function broken(pool) {
  await proxy.refuse();
  proxy.cut();
  await failing(pool, 1);
  expect(states(pool)).toEqual(['open']);
}

test('opens after five failed connects in a row, and then answers at once with the reason and the time of its probe', async () => {
  const pool = proxied({ breaker: { ...FOR_LONG, failedConnects: 5 } });
  await proxy.refuse();
  for (let i = 0; i < 5; i++) {
    const [error] = await failing(pool, 1);
    expect(error.code).toBe('ECONNREFUSED');
  }
  const begin = Date.now();
  const [error] = await failing(pool, 1);
  expect(error).toBeInstanceOf(CircuitOpenError);
  expect(error).toMatchObject({ code: 'CIRCUIT_OPEN', host: `${proxy.host}:${proxy.port}` });
  expect(error.message).toBe(`circuit breaker is open: connect ECONNREFUSED ${proxy.host}:${proxy.port}`);
  expect(error.cause).toMatchObject({ code: 'ECONNREFUSED' });
  expect(error.nextProbe.getTime()).toBeGreaterThan(begin + 400_000);
  expect(pool.changes).toEqual([
    expect.objectContaining({ from: 'closed', state: 'open', nextProbe: expect.any(Date) }),
  ]);
  expect(told(pool).breakers).toEqual([
    {
      host: `${proxy.host}:${proxy.port}`,
      state: 'open',
      reason: `connect ECONNREFUSED ${proxy.host}:${proxy.port}`,
      nextProbe: expect.any(Number),
    },
  ]);
  await expect(pool.connect()).rejects.toBeInstanceOf(CircuitOpenError);
  expect(pool.totalCount).toBe(0);
});

test('stays closed where connects fail for a short time only', async () => {
  const pool = proxied({ breaker: { failedConnects: 1, failingMillis: 600_000 } });
  await proxy.refuse();
  for (let i = 0; i < 10; i++) await failing(pool, 1);
  expect(pool.changes).toEqual([]);
});

test('opens after connects that took too long, and says so', async () => {
  const pool = proxied({ connectionTimeoutMillis: 50, breaker: { ...FOR_LONG, failedConnects: 2 } });
  proxy.stall('toClient');
  const [error] = await until(async () => {
    const errors = await failing(pool, 1);
    return errors[0] instanceof CircuitOpenError && errors;
  });
  expect(error.cause).toMatchObject({ code: 'ETIMEDOUT', syscall: 'connect', port: proxy.port });
});

test('sends nothing but its probes while it is open', async () => {
  const pool = proxied({ breaker: FOR_LONG });
  await broken(pool);
  await proxy.listen();
  const errors = await failing(pool, 50);
  expect(errors.every((error) => error instanceof CircuitOpenError)).toBe(true);
  expect(proxy.accepted).toBe(0);
});

test('a connection that is there serves on, and its answer closes it', async () => {
  const pool = proxied({ max: 2, breaker: FOR_LONG });
  const client = await pool.connect();
  await proxy.refuse();
  const [error] = await failing(pool, 1);
  expect(error.code).toBe('ECONNREFUSED');
  expect(states(pool)).toEqual(['open']);
  // Only a new connection could serve it, or the one that is lent.
  const waiting = pool.query('SELECT 1 AS one');
  await until(() => pool.waitingCount === 1);
  client.release();
  expect((await waiting).rows).toEqual([{ one: 1 }]);
  expect(states(pool)).toEqual(['open', 'closed']);
});

test('counts the requests that it refuses, and not what the pool itself tries', async () => {
  const pool = proxied({ enhanced: true, min: 2, failFast: false, breaker: FOR_LONG });
  await pool.query('SELECT 1');
  await proxy.refuse();
  proxy.cut();
  await until(() => states(pool).includes('open'));
  expect(told(pool).breakerRejected).toBe(0);
  await failing(pool, 3);
  expect(told(pool).breakerRejected).toBe(3);
});

test('one connection probes it, its first answer closes it, and queries run again', async () => {
  const pool = proxied({ breaker: { ...AT_ONCE, firstProbeMillis: 50 } });
  await broken(pool);
  await proxy.listen();
  await until(() => states(pool).at(-1) === 'closed');
  expect(proxy.accepted).toBe(1);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  expect(states(pool)).toEqual(['open', 'closed']);
});

test('probes go on while the server is away, and tell when the next one comes', async () => {
  const pool = proxied({ breaker: { ...AT_ONCE, firstProbeMillis: 10, probeMillis: 10 } });
  await broken(pool);
  const seen = new Set();
  await until(() => seen.add(told(pool).breakers[0].nextProbe).size > 3);
  expect(states(pool)).toEqual(['open']);
});

test('a probe that is kept waiting does not hold back the next one', async () => {
  const pool = proxied({ breaker: { ...AT_ONCE, firstProbeMillis: 10, probeMillis: 10 } });
  await broken(pool);
  proxy.once('link', (link) => link.stall('toClient'));
  await proxy.listen();
  await until(() => states(pool).at(-1) === 'closed');
});

test('a probe under way ends with its pool', async () => {
  const pool = proxied({ breaker: { ...AT_ONCE, firstProbeMillis: 50, probeMillis: 50 } });
  await broken(pool);
  let present = 0;
  const silent = createServer((socket) => {
    present += 1;
    socket.on('error', () => {}).on('close', () => (present -= 1));
    socket.resume();
  });
  undo.push(() => silent.close());
  silent.listen(proxy.port, proxy.host);
  await until(() => present > 0);
  const began = Date.now();
  await pool.end();
  await until(() => present === 0);
  // Left to itself it waits for an answer for five seconds.
  expect(Date.now() - began).toBeLessThan(4000);
});

test('to set the mode that it has leaves the probe alone', async () => {
  const pool = proxied({ breaker: { ...AT_ONCE, firstProbeMillis: 50, probeMillis: 50 } });
  await broken(pool);
  proxy.stall('toClient');
  await proxy.listen();
  await until(() => proxy.accepted > 0);
  pool.configure({ breaker: 'enforce' });
  proxy.resume('toClient');
  await until(() => states(pool).at(-1) === 'closed');
  expect(states(pool)).toEqual(['open', 'closed']);
});

test('a server that is back and refuses the login closes it: the requests hear why', async () => {
  const pool = proxied({ database: 'nowhere', breaker: { ...AT_ONCE, firstProbeMillis: 50 } });
  await broken(pool);
  await proxy.listen();
  await until(() => states(pool).at(-1) === 'closed');
  const [error] = await failing(pool, 1);
  expect(error).toMatchObject({ code: '3D000' });
});

test.each([
  ['retries', { retryAttempts: 3 }, { acquireTimeoutMillis: 60_000 }],
  ['a deadline of its own', { deadline: 60_000 }, {}],
])('a request with %s waits for the breaker to close', async (_, own, options) => {
  const pool = proxied({ ...options, breaker: { ...AT_ONCE, firstProbeMillis: 500, probeMillis: 50 } });
  await pool.query('SELECT 1');
  await broken(pool);
  const waiting = Array.from({ length: 20 }, () => pool.query({ text: 'SELECT 1 AS one', ...own }));
  await proxy.listen();
  for (const { rows } of await Promise.all(waiting)) expect(rows).toEqual([{ one: 1 }]);
  expect(told(pool).breakerRejected).toBe(0);
});

test('who waits for the breaker is served as soon as it is switched off', async () => {
  const pool = proxied({ retryAttempts: 3, breaker: FOR_LONG });
  await proxy.refuse();
  await pool.query({ text: 'SELECT 1', retryAttempts: 0 }).catch(() => {});
  const waiting = pool.query({ text: 'SELECT 1 AS one', deadline: 3_000_000 });
  await proxy.listen();
  pool.configure({ breaker: 'off' });
  expect((await waiting).rows).toEqual([{ one: 1 }]);
});

test('who waits for a connection as it opens is served when it closes', async () => {
  const pool = proxied({
    failFast: false,
    breaker: { ...AT_ONCE, failedConnects: 3, firstProbeMillis: 300 },
  });
  await proxy.refuse();
  const waiting = Array.from({ length: 5 }, () => pool.query('SELECT 1 AS one'));
  const served = Promise.all(waiting);
  await until(() => states(pool).includes('open'));
  await proxy.listen();
  for (const { rows } of await served) expect(rows).toEqual([{ one: 1 }]);
});

test('forced open it sends away who waits', async () => {
  const pool = proxied({ failFast: false });
  await proxy.refuse();
  const waiting = failing(pool, 5);
  pool.configure({ breaker: 'forced-open' });
  for (const error of await waiting) expect(error).toBeInstanceOf(CircuitOpenError);
});

test('SQL errors, cancelled queries and a full pool never open it', async () => {
  const pool = proxied({ max: 1, breaker: { minimumCalls: 2, ...AT_ONCE } });
  for (let i = 0; i < 25; i++)
    await expect(pool.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
  for (let i = 0; i < 5; i++) {
    await expect(pool.query({ text: 'SELECT pg_sleep(60)', query_timeout: 20 })).rejects.toThrow(
      'Query read timeout',
    );
  }
  const client = await pool.connect();
  const waiting = pool.query({ text: 'SELECT 1', deadline: 50 });
  await expect(waiting).rejects.toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
  client.release();
  expect(pool.changes).toEqual([]);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
});

test('a server without disk refuses what it refuses, and nothing else', async () => {
  const pool = proxied({ breaker: { minimumCalls: 2, failureRate: 0.1, ...AT_ONCE } });
  const exhausted = "DO $$ BEGIN RAISE EXCEPTION 'no disk' USING ERRCODE = '53100'; END $$";
  for (let i = 0; i < 30; i++) {
    await expect(pool.query(exhausted)).rejects.toMatchObject({ code: '53100' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  }
  expect(pool.changes).toEqual([]);
});

describe('of two hosts', () => {
  let other;

  beforeEach(async () => {
    const { host, port } = config();
    other = await Proxy.start({ host, port });
  });
  afterEach(() => other.stop());

  const place = ({ host, port }) => `${host}:${port}`;
  const overBoth = (options) =>
    proxied({ host: [proxy.host, other.host].join(), port: [proxy.port, other.port].join(), ...options });
  /** Asks until the breaker of one host is open. */
  const asked = (pool, { port }) =>
    until(async () => {
      await pool.query('SELECT 1');
      return pool.changes.some(({ host, state }) => host.endsWith(`:${port}`) && state === 'open');
    });

  test('one that is away is left alone while the other serves', async () => {
    const pool = overBoth({ maxUses: 1, loadBalanceHosts: 'random', breaker: FOR_LONG });
    await proxy.refuse();
    await asked(pool, proxy);
    await proxy.listen();
    for (let i = 0; i < 30; i++) await pool.query('SELECT 1');
    expect(proxy.accepted).toBe(0);
    expect(pool.changes).toEqual([
      expect.objectContaining({ host: place(proxy), from: 'closed', state: 'open' }),
    ]);
    expect(told(pool)).toMatchObject({
      breaker: 'closed',
      breakers: [
        { host: place(proxy), state: 'open', reason: expect.any(String), nextProbe: expect.any(Number) },
        { host: place(other), state: 'closed', reason: null, nextProbe: null },
      ],
    });
  });

  test('its connections are given up, and the lent ones when they come back', async () => {
    const pool = overBoth({ max: 2, breaker: FOR_LONG });
    const lent = await pool.connect();
    expect([proxy.links.size, other.links.size]).toEqual([1, 0]);
    // The first host cannot be connected to any more; what is connected stays.
    await proxy.refuse();
    const brief = { text: 'SELECT pg_backend_pid() AS pid' };
    await until(async () => {
      const client = await pool.connect();
      await client.query(brief);
      client.release(true);
      return states(pool).includes('open');
    });
    lent.release();
    await until(() => proxy.links.size === 0);
    expect((await pool.query(brief)).rows).not.toEqual([{ pid: lent.processID }]);
  });

  test('a connection that was being made as its breaker opened closes it', async () => {
    const pool = overBoth({ max: 2, breaker: FOR_LONG });
    let first;
    proxy.on('link', (link) => {
      if (first) return link.cut();
      first = link;
      return link.stall('toClient');
    });
    const queries = [pool.query('SELECT 1'), pool.query('SELECT 1')];
    await until(() => states(pool).includes('open'));
    first.resume('toClient');
    await Promise.all(queries);
    await until(() => states(pool).at(-1) === 'closed');
  });

  test('only when both are open requests are refused, until the first is back', async () => {
    const pool = overBoth({ breaker: { ...AT_ONCE, firstProbeMillis: 300, probeMillis: 300 } });
    await Promise.all([proxy.refuse(), other.refuse()]);
    await until(async () => (await failing(pool, 1))[0] instanceof CircuitOpenError);
    const open = pool.changes.filter(({ from, state }) => from === 'closed' && state === 'open');
    expect(open.map(({ host }) => host).sort()).toEqual([place(proxy), place(other)].sort());
    await other.listen();
    await until(() => pool.changes.some(({ host, state }) => host === place(other) && state === 'closed'));
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(proxy.accepted).toBe(0);
  });

  describe('one of which is of the wrong kind', () => {
    let fresh;
    const readOnly = (value) =>
      admin(`ALTER DATABASE ${fresh.database} SET default_transaction_read_only = ${value}`);
    /** The first host is barred; the other one only reads. */
    const withoutPrimary = async (options) => {
      await readOnly('on');
      const pool = overBoth({
        database: fresh.database,
        targetSessionAttrs: 'read-write',
        breaker: FOR_LONG,
        ...options,
      });
      await proxy.refuse();
      await until(async () => (await failing(pool, 1))[0] instanceof CircuitOpenError);
      return pool;
    };

    beforeAll(async () => {
      fresh = await freshDatabase();
    });
    afterAll(() => fresh.drop());

    test('the error names the barred one, and when the other is tried again', async () => {
      const pool = await withoutPrimary();
      const error = await until(async () =>
        (await failing(pool, 1)).find(({ code }) => code === 'CIRCUIT_OPEN'),
      );
      expect(error).toMatchObject({ host: place(proxy), cause: { code: 'ECONNREFUSED', port: proxy.port } });
      expect(error.nextProbe.getTime()).toBeLessThan(Date.now() + 500_000);
    });

    test('one request in a second goes there to find out what it is', async () => {
      const pool = await withoutPrimary({ max: 20 });
      const seen = [];
      const connects = await until(async () => {
        const before = other.accepted;
        const codes = (await failing(pool, 20)).map(({ code }) => code);
        seen.push(...codes);
        return codes.includes('NO_SUITABLE_HOST') && other.accepted - before;
      });
      expect(connects).toBe(1);
      expect(seen.filter((code) => code !== 'CIRCUIT_OPEN')).toEqual(['NO_SUITABLE_HOST']);
      await readOnly('off');
      await until(async () => (await Promise.allSettled([pool.query('SELECT 1')]))[0].status === 'fulfilled');
      for (let i = 0; i < 30; i++) await pool.query('SELECT 1');
    });

    test('a request with a deadline is served when that one becomes the right one', async () => {
      const pool = await withoutPrimary();
      const waiting = pool.query({ text: 'SELECT 1 AS one', retryAttempts: 3, deadline: 60_000 });
      await readOnly('off');
      expect((await waiting).rows).toEqual([{ one: 1 }]);
    });
  });

  test('a mode that changes for both closes no connection', async () => {
    const pool = overBoth({ max: 3, breaker: 'enforce' });
    const clients = await Promise.all(Array.from({ length: 3 }, () => pool.connect()));
    for (const client of clients) client.release();
    for (const mode of ['forced-open', 'enforce', 'forced-open', 'off']) pool.configure({ breaker: mode });
    await pool.query('SELECT 1');
    expect(pool.totalCount).toBe(3);
    expect(pool.changes.map(({ host, state }) => [host, state])).toEqual(
      ['open', 'closed', 'open', 'closed'].flatMap((state) =>
        [place(proxy), place(other)].map((host) => [host, state]),
      ),
    );
  });
});

describe('modes', () => {
  test('a pool that does not ask for a breaker has none', async () => {
    const pool = proxied({});
    await proxy.refuse();
    const errors = await failing(pool, 20);
    expect(errors.map((error) => error.code)).toEqual(Array(20).fill('ECONNREFUSED'));
    expect(pool.changes).toEqual([]);
  });

  test('metrics tells and stops nobody', async () => {
    const pool = proxied({ breaker: { mode: 'metrics', ...AT_ONCE } });
    await broken(pool);
    expect(states(pool)).toEqual(['open']);
    await proxy.listen();
    await until(async () => {
      await pool.query('SELECT 1');
      return states(pool).at(-1) === 'closed';
    });
    expect(states(pool)).toEqual(['open', 'closed']);
  });

  test('limits change while the pool runs, and keep the mode', async () => {
    const pool = proxied({ breaker: 'metrics' });
    await proxy.refuse();
    await failing(pool, 1);
    expect(pool.changes).toEqual([]);
    pool.configure({ breaker: AT_ONCE });
    await failing(pool, 1);
    expect(states(pool)).toEqual(['open']);
    expect(pool.options.breaker).toEqual({ mode: 'metrics', ...AT_ONCE });
    const [error] = await failing(pool, 1);
    expect(error.code).toBe('ECONNREFUSED');
    expect(() => pool.configure({ breaker: { openMillis: 5 } })).toThrow('breaker.openMillis is none of');
    expect(() => pool.configure({ breaker: { failedConnects: 0 } })).toThrow('breaker.failedConnects');
  });

  test('forced-open stops everything, until it is changed', async () => {
    const pool = proxied({ breaker: 'forced-open' });
    const error = await pool.query('SELECT 1').then(fail, (reason) => reason);
    expect(error).toBeInstanceOf(CircuitOpenError);
    expect(error.nextProbe).toBeNull();
    expect(told(pool).breaker).toBe('open');
    pool.configure({ breaker: 'enforce' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    pool.configure({ breaker: 'forced-open' });
    await expect(pool.query('SELECT 1')).rejects.toBeInstanceOf(CircuitOpenError);
    pool.configure({ breaker: 'off' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    expect(() => pool.configure({ breaker: 'sometimes' })).toThrow(TypeError);
  });

  test('the admin tier passes an open breaker', async () => {
    const pool = proxied({ tier: 'admin', breaker: 'forced-open' });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('a mode of another name is refused', () => {
    expect(() => new Pool(config({ breaker: 'sometimes' }))).toThrow(TypeError);
    expect(() => new Pool(config({ retry: 'sometimes' }))).toThrow(TypeError);
  });
});
