'use strict';

// What is logged, to a callback and to standard error, and what each notable event tells.

const path = require('node:path');
const { execFile, spawn } = require('node:child_process');
const { promisify } = require('node:util');
const { ConnectionHealthMonitor, metrics, onLog } = require('../..');
const { bridge } = require('../../lib/native/bridge');
const { PATIENCE } = require('../support/patience');
const { Proxy } = require('../support/proxy');
const { admin, asleep, config, server } = require('../support/server');
const { open, undo } = require('../support/undo');
const { until } = require('../support/until');

function listen(options) {
  const heard = [];
  undo.push(onLog((event) => heard.push(event), options));
  return heard;
}

test('connects and closes are heard with stable fields', async () => {
  const heard = listen();
  const pool = open({ tier: 'logged' });
  const client = await pool.connect();
  client.release(true);
  const mine = () => heard.filter((event) => event.pool === 'logged');
  await until(() => mine().some(({ event }) => event === 'closed'));
  expect(mine().map(({ target, event }) => `${target} ${event}`)).toEqual([
    'connection opened',
    'connection closed',
  ]);
  const [opened, closed] = mine();
  expect(opened).toMatchObject({
    level: 'info',
    fields: { connection: expect.any(Number), millis: expect.any(Number) },
  });
  expect(closed.fields).toEqual({ connection: opened.fields.connection, reason: 'released' });
});

test('a level leaves out what is below, and a listener can be ended', async () => {
  const heard = listen({ level: 'warn' });
  const all = [];
  const end = onLog((event) => all.push(event));
  await open({ tier: 'levels' }).query('SELECT 1');
  await until(() => all.some(({ pool }) => pool === 'levels'));
  expect(heard.filter(({ pool }) => pool === 'levels')).toEqual([]);
  end();
  const count = all.length;
  const pool = open({ tier: 'levels-2', port: 1, host: '127.0.0.1' });
  await expect(pool.query('SELECT 1')).rejects.toThrow();
  await until(() => heard.some((event) => event.pool === 'levels-2' && event.event === 'connect_failed'));
  expect(all).toHaveLength(count);
  expect(() => onLog('no function')).toThrow(TypeError);
  expect(() => onLog(() => {}, { level: 'loud' })).toThrow(TypeError);
});

test('a pool that is not measured says nothing', async () => {
  const heard = listen({ level: 'debug' });
  const quiet = open({ tier: 'unheard', monitor: false });
  const client = await quiet.connect();
  client.release(true);
  await open({ tier: 'heard-after' }).query('SELECT 1');
  await until(() => of(heard, 'heard-after').length > 0);
  expect(of(heard, 'unheard')).toEqual([]);
});

test('a listener that throws is counted, and queries go on', async () => {
  const faults = () =>
    metrics().series.find(({ name }) => name === 'pgpool_rs.listener.faults').points[0].value;
  const before = faults();
  undo.push(
    onLog(() => {
      throw new Error('listener');
    }),
  );
  const heard = listen();
  const pool = open({ tier: 'faulty' });
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await until(() => heard.length > 0 && faults() > before);
});

/** The events of this tier, without those of other tests. */
const of = (heard, tier) => heard.filter(({ pool }) => pool === tier);
const seen = (events, target, event) =>
  events.find((entry) => entry.target === target && entry.event === event);

describe('a connection that the server ends is logged with its words', () => {
  const users = {
    'while it is idle': (pool, client) => client.release(),
    'while it is leased': () => {},
    'while a client runs a query': (pool, client) => {
      client.query('SELECT pg_sleep(600)').catch(() => {});
      return asleep(client.processID);
    },
    'while the pool runs a query': (pool, client) => {
      client.release();
      pool.query('SELECT pg_sleep(600)').catch(() => {});
      return asleep(client.processID);
    },
  };
  test.each(Object.entries(users))('%s', async (name, use) => {
    const heard = listen({ level: 'warn' });
    const pool = open({ tier: name, max: 1 });
    const client = await pool.connect();
    client.on('error', () => {});
    await use(pool, client);
    await admin('SELECT pg_terminate_backend($1)', [client.processID]);
    await until(() => seen(of(heard, name), 'connection', 'lost'));
    expect(seen(of(heard, name), 'connection', 'lost').fields).toMatchObject({
      class: 'shutdown',
      error: '57P01 terminating connection due to administrator command',
    });
  });
});

test('an outage is heard from the loss to the recovery: lost, closed, connects, breaker, retries', async () => {
  const heard = listen();
  const { host, port } = config();
  const proxy = await Proxy.start({ host, port });
  undo.push(() => proxy.stop());
  const pool = open({
    tier: 'outage',
    host: proxy.host,
    port: proxy.port,
    max: 1,
    retryAttempts: 40,
    retryDelay: 20,
    breaker: { failedConnects: 1, failingMillis: 0, firstProbeMillis: 50, probeMillis: 50 },
  });
  await pool.query('SELECT 1');
  await proxy.refuse();
  proxy.cutOnMessage('toClient', 'C');
  const waiting = pool.query({ text: 'SELECT 1', idempotent: true });
  await until(() => seen(of(heard, 'outage'), 'breaker', 'open'));
  await proxy.listen();
  await waiting.catch(() => {});
  await until(() =>
    pool.query('SELECT 1').then(
      () => true,
      () => false,
    ),
  );
  await until(() => seen(of(heard, 'outage'), 'breaker', 'closed'));
  const events = of(heard, 'outage');
  const { connection } = seen(events, 'connection', 'opened').fields;
  expect(seen(events, 'connection', 'lost')).toMatchObject({
    level: 'warn',
    fields: { connection, class: 'connection', error: expect.any(String) },
  });
  expect(seen(events, 'connection', 'closed')).toMatchObject({
    level: 'warn',
    fields: { connection, reason: 'broken' },
  });
  expect(seen(events, 'connection', 'connect_failed').fields).toMatchObject({
    class: 'connection',
    error: expect.stringContaining('ECONNREFUSED'),
  });
  const retry = events.find(({ event, fields }) => event === 'retrying' && fields.of !== undefined);
  expect(retry.fields).toMatchObject({
    attempt: expect.any(Number),
    of: 40,
    delayMillis: expect.any(Number),
    phase: expect.any(String),
  });
  const breaker = {
    level: 'warn',
    fields: {
      host: `${proxy.host}:${proxy.port}`,
      from: 'closed',
      error: expect.stringContaining('ECONNREFUSED'),
      nextProbeMillis: expect.any(Number),
    },
  };
  expect(seen(events, 'breaker', 'open')).toMatchObject(breaker);
  expect(seen(events, 'breaker', 'closed')).toMatchObject({ level: 'info', fields: { from: 'open' } });
  // In the order in which they happened.
  expect(events.map(({ number }) => number)).toEqual(
    events.map(({ number }) => number).sort((one, other) => one - other),
  );
});

test('a host that is left for another one is counted and heard', async () => {
  const heard = listen();
  const { host, port } = config();
  const [first, second] = [await Proxy.start({ host, port }), await Proxy.start({ host, port })];
  undo.push(() => Promise.all([first.stop(), second.stop()]));
  const pool = open({
    tier: 'moved',
    host: `${first.host},${second.host}`,
    port: `${first.port},${second.port}`,
    max: 1,
  });
  await pool.query('SELECT 1');
  await first.refuse();
  first.cut();
  await until(() => pool.totalCount === 0);
  await pool.query('SELECT 1');
  await until(() => seen(of(heard, 'moved'), 'failover', 'left'));
  const fields = { from: `${first.host}:${first.port}`, to: `${second.host}:${second.port}` };
  expect(seen(of(heard, 'moved'), 'failover', 'left')).toMatchObject({ level: 'warn', fields });
  expect(metrics().pools.find(({ name }) => name === 'moved').failovers).toBe(1);
});

test('a transaction that is left open, and a client that is not given back, are heard as leaks', async () => {
  const heard = listen();
  const pool = open({ tier: 'leaking', enhanced: true });
  const monitor = new ConnectionHealthMonitor(pool, { leakMillis: 0 });
  monitor.startMonitoring(3600000, { log: false });
  undo.push(() => monitor.stopMonitoring());
  const client = await pool.connect();
  await client.query('BEGIN');
  monitor.updateMetrics();
  client.release();
  await until(
    () => seen(of(heard, 'leaking'), 'leak', 'transaction') && seen(of(heard, 'leaking'), 'leak', 'overdue'),
  );
  const { connection } = seen(of(heard, 'leaking'), 'connection', 'opened').fields;
  expect(seen(of(heard, 'leaking'), 'leak', 'transaction').fields).toEqual({ connection });
  const { fields } = seen(of(heard, 'leaking'), 'leak', 'overdue');
  expect(fields).toMatchObject({
    connection,
    heldMillis: expect.any(Number),
    stack: expect.stringContaining('log.test.js'),
  });
  expect(metrics().pools.find(({ name }) => name === 'leaking').leaks).toMatchObject({ transactions: 1 });
});

/** What the core tells when a client of this pool is lent for so long. */
function overdue(pool, connection, heldMillis) {
  const OVERDUE = 24;
  const told = Buffer.from(JSON.stringify({ connection, heldMillis }));
  jest.spyOn(bridge().native, 'take').mockImplementationOnce((buffer) => {
    const length = (16 + told.length + 7) & ~7;
    [length, OVERDUE, pool._delegate.number, told.length].forEach((word, index) =>
      buffer.writeUInt32LE(word, index * 4),
    );
    told.copy(buffer, 16);
    return length;
  });
  bridge().drain();
}

test('a client that is lent for long is told once, with the stack of who borrowed it, though nobody watches', async () => {
  const heard = listen();
  const pool = open({ tier: 'forgotten', max: 1 });
  const leaks = () => metrics().pools.find(({ name }) => name === 'forgotten').leaks;
  async function forgetful() {
    return pool.connect();
  }
  const client = await forgetful();
  await until(() => seen(of(heard, 'forgotten'), 'connection', 'opened'));
  const { connection } = seen(of(heard, 'forgotten'), 'connection', 'opened').fields;
  overdue(pool, connection, 30000.4);
  overdue(pool, connection, 60000);
  await until(() => seen(of(heard, 'forgotten'), 'leak', 'overdue'));
  client.release();
  overdue(pool, connection, 90000);
  // By what comes after it all that came before has been heard.
  (await pool.connect()).release(true);
  await until(() => seen(of(heard, 'forgotten'), 'connection', 'closed'));
  const [told, ...more] = of(heard, 'forgotten').filter(({ target }) => target === 'leak');
  expect(told).toMatchObject({ level: 'warn', event: 'overdue', fields: { connection, heldMillis: 30000 } });
  expect(told.fields.stack).toMatch(/^at forgetful \(.*log\.test\.js/);
  expect(more).toEqual([]);
  expect(leaks()).toEqual({ connections: 1, transactions: 0 });
});

test('a statement of the pool that takes long is no leak, also where it runs on a client', async () => {
  const heard = listen();
  const pool = open({ tier: 'slow', max: 2 });
  const holder = await pool.connect();
  await holder.query('SELECT pg_advisory_lock(4711)');
  pool.on('acquire', () => {});
  const slow = pool.query('SELECT pg_advisory_lock(4711)');
  await until(
    async () =>
      (
        await holder.query(
          "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted",
        )
      ).rowCount === 1,
  );
  const opened = of(heard, 'slow')
    .filter(({ event }) => event === 'opened')
    .map(({ fields }) => fields.connection);
  for (const connection of opened) overdue(pool, connection, 30000);
  await holder.query('SELECT pg_advisory_unlock(4711)');
  holder.release();
  await slow;
  expect(opened).toHaveLength(2);
  expect(metrics().pools.find(({ name }) => name === 'slow').leaks.connections).toBe(1);
});

test('an alert is heard with its cause, as flat fields', async () => {
  const heard = listen();
  const pool = open({ tier: 'alerted', max: 1 });
  const monitor = new ConnectionHealthMonitor(pool, {
    thresholds: { utilisation: { forMillis: 0, clearMillis: 0 } },
  });
  const client = await pool.connect();
  monitor.updateMetrics(0);
  client.release();
  await until(() => pool.idleCount === 1);
  monitor.updateMetrics(1000);
  monitor.updateMetrics(2000);
  monitor.stopMonitoring();
  await until(() => seen(of(heard, 'alerted'), 'alert', 'cleared'));
  const fired = seen(of(heard, 'alerted'), 'alert', 'fired');
  expect(fired).toMatchObject({
    level: 'error',
    fields: { rule: 'utilisation', value: 1, threshold: 0.9, unit: 'ratio' },
  });
  expect(fired.fields.causes).toContain('all 1 connections are in use');
  expect(seen(of(heard, 'alerted'), 'alert', 'cleared').level).toBe('info');
});

test('standard error that nobody reads delays no query, and what was dropped is counted', async () => {
  const { host, port, user, password, database } = server();
  const source = `const pg = require(${JSON.stringify(path.resolve(__dirname, '../..'))});
    (async () => {
      const pool = new pg.Pool(${JSON.stringify({ host, port, user, password, database, tier: 'unread' })});
      // A line for every attempt, thousands of them.
      const nowhere = new pg.Pool({ host: '127.0.0.1', port: 1 });
      const dropped = () => pg.metrics().series.find(({ name }) => name === 'pgpool_rs.logs.dropped').points[0].value;
      for (let i = 0; dropped() === 0 && i < 20000; i++) await nowhere.query('SELECT 1').catch(() => {});
      const { rows } = await pool.query('SELECT 1 AS one');
      await Promise.all([pool.end(), nowhere.end()]);
      console.log(JSON.stringify({ rows, dropped: dropped() > 0 }));
    })();`;
  const child = spawn(process.execPath, ['-e', source], {
    env: { ...process.env, PGPOOL_LOG: 'info' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  undo.push(() => child.kill('SIGKILL'));
  let told = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (told += text));
  await until(() => told !== '', { timeout: 2 * PATIENCE });
  expect(JSON.parse(told)).toEqual({ rows: [{ one: 1 }], dropped: true });
});

// Runs a script in a process of its own, with the package as `pg`.
function run(script, env) {
  const source = `const pg = require(${JSON.stringify(path.resolve(__dirname, '../..'))});\n(async () => {${script}})();`;
  return promisify(execFile)(process.execPath, ['-e', source], { env: { ...process.env, ...env } });
}

test('standard error gets what PGPOOL_LOG asks for, as text or JSON, and nothing unasked', async () => {
  const { host, port, user, password, database } = server();
  const script = `const pool = new pg.Pool(${JSON.stringify({ host, port, user, password, database, tier: 'written' })});
    await pool.query('SELECT 1'); await pool.end();`;
  const unasked = await run(script, { PGPOOL_LOG: '' });
  expect(unasked.stderr).toBe('');
  const text = await run(script, { PGPOOL_LOG: 'info' });
  expect(text.stderr).toMatch(
    /^pgpool-rs \S+Z {2}INFO connection: opened pool="written" connection=\d+ millis=/,
  );
  // Until the last line, though the process ends at once.
  expect(text.stderr).toMatch(/INFO connection: closed pool="written" connection=\d+ reason="drained"\n$/);
  const json = await run(script, { PGPOOL_LOG: 'off,connection=info', PGPOOL_LOG_FORMAT: 'json' });
  const [first] = json.stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(first).toMatchObject({
    level: 'INFO',
    target: 'connection',
    message: 'opened',
    pool: 'written',
    connection: expect.any(Number),
  });
});

test.each(['text', 'json'])(
  'lines as %s hold no character that steers a terminal or turns their order',
  async (format) => {
    const { host, port, user, password, database } = server();
    const tier = 'a\u009b2Jb\u202ec\u2066d\u2028e';
    const script = `const pool = new pg.Pool(${JSON.stringify({ host, port, user, password, database, tier })});
    await pool.query('SELECT 1'); await pool.end();`;
    const { stderr } = await run(script, { PGPOOL_LOG: 'info', PGPOOL_LOG_FORMAT: format });
    expect(stderr).toContain('opened');
    expect(stderr.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
    if (format === 'json') expect(JSON.parse(stderr.split('\n')[0]).pool).toBe(tier);
  },
);

describe('unasked', () => {
  // A tier that finds no server, and a pool that finds none either.
  const script = `
    const pools = [pg.getPool('admin'), new pg.Pool({ host: '127.0.0.1', port: 1 })];
    for (const pool of pools) await pool.query('SELECT 1').catch(() => {});
    await Promise.all(pools.map((pool) => pool.end()));`;
  const nowhere = { DB_HOST: '127.0.0.1', DB_PORT: '1', DB_ACQUIRE_TIMEOUT: '300', DB_ADMIN_MIN: '0' };

  test('tiers write warnings to standard error, and plain pools nothing', async () => {
    const { stderr } = await run(script, { ...nowhere, PGPOOL_LOG: '' });
    expect(stderr).toMatch(
      /^pgpool-rs \S+Z {2}WARN connection: connect_failed pool="admin" class="connection" error="connect ECONNREFUSED 127\.0\.0\.1:1"/,
    );
    expect(stderr).toMatch(
      /WARN retry: gave_up pool="admin" attempts=\d millis=\d{3}\.?\d* .*error="connect ECONNREFUSED 127\.0\.0\.1:1"/,
    );
    expect(stderr.split('\n').filter((line) => line !== '' && !line.includes('pool="admin"'))).toEqual([]);
  });

  test('nothing is written with PGPOOL_LOG=off, nor by a tier that is well', async () => {
    expect((await run(script, { ...nowhere, PGPOOL_LOG: 'off' })).stderr).toBe('');
    const { host, port, user, password, database } = server();
    const place = {
      DB_HOST: host,
      DB_PORT: String(port),
      DB_USER: user,
      DB_PASSWORD: password,
      DB_NAME: database,
    };
    const well = "await pg.getPool('admin').query('SELECT 1'); await pg.endPools();";
    expect((await run(well, { ...place, PGPOOL_LOG: '' })).stderr).toBe('');
  });
});
