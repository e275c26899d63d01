'use strict';

// The async context (AsyncLocalStorage, domain) of events and callbacks.

const { AsyncLocalStorage } = require('node:async_hooks');
const Cursor = require('pg-cursor');
const ours = require('../../index.js');
const { alike, inProcess } = require('./alike');
const { admin, asleep, config } = require('../support/server');
const { until } = require('../support/until');

const storage = new AsyncLocalStorage();

/** Notes the context of each event of `emitter`. */
function contexts(emitter, events, notes) {
  for (const event of events) emitter.on(event, () => notes.push(`${event} in ${storage.getStore()}`));
  return notes;
}

/** A `password` that notes the context in which it is asked for. */
const passwordOf = (notes) => () => {
  notes.push(`password in ${storage.getStore()}`);
  return config().password;
};

/** Runs `work` in the context of that name. */
const within = (name, work) => storage.run(name, work);

// The first use of the process has a context of its own, which no other event may get.
beforeAll(() =>
  within('first use', async () => {
    const pool = new ours.Pool(config());
    await pool.query('SELECT 1');
    await pool.end();
  }),
);

alike(
  'a pool connects and removes in the context of the checkout that needed the connection',
  async (driver, config) => {
    const notes = [];
    const pool = new driver.Pool(
      config({
        max: 1,
        password: passwordOf(notes),
        onConnect: () => notes.push(`onConnect in ${storage.getStore()}`),
      }),
    );
    contexts(pool, ['connect', 'acquire', 'release', 'remove'], notes);
    const first = await within('A', () => pool.connect());
    contexts(first, ['notice', 'notification', 'end'], notes);
    within('B', () => first.release());
    const second = await within('C', () => pool.connect());
    await within('D', () =>
      second.query("LISTEN context; DO $$ BEGIN RAISE NOTICE 'hello'; END $$; NOTIFY context"),
    );
    await until(() => notes.some((note) => note.startsWith('notification')));
    within('E', () => second.release(true));
    await until(() => notes.some((note) => note.startsWith('end')));
    await pool.end();
    return notes;
  },
);

alike('a client emits in the context of its connect', async (driver, config) => {
  const notes = [];
  const client = new driver.Client(config({ password: passwordOf(notes) }));
  contexts(client, ['connect', 'notice', 'notification', 'drain', 'end'], notes);
  await within('A', () => client.connect());
  await within('B', () =>
    client.query("LISTEN context; DO $$ BEGIN RAISE NOTICE 'hello'; END $$; NOTIFY context"),
  );
  await until(() => notes.some((note) => note.startsWith('notification')));
  await within('C', () => client.end());
  return notes;
});

alike('the loss of a connection is told in the context of its connect', async (driver, config) => {
  const client = new driver.Client(config());
  const notes = contexts(client, ['error', 'end'], []);
  await within('A', () => client.connect());
  const query = within('B', () => client.query('SELECT pg_sleep(600)').catch(() => storage.getStore()));
  await asleep(client.processID);
  await admin('SELECT pg_terminate_backend($1)', [client.processID]);
  await until(() => notes.some((note) => note.startsWith('end')));
  return [notes, await query];
});

describe('each of many tenants', () => {
  const TENANTS = Array.from({ length: 16 }, (_, i) => `tenant ${i}`);

  test('acquires its client in its own context', async () => {
    const pool = new ours.Pool(config({ max: 3 }));
    pool.on('acquire', (client) => {
      client.tenant = storage.getStore();
    });
    const served = TENANTS.map((tenant) =>
      within(tenant, async () => {
        const client = await pool.connect();
        const { tenant: found } = client;
        await client.query('SELECT 1');
        client.release();
        return found;
      }),
    );
    expect(await Promise.all(served)).toEqual(TENANTS);
    await pool.end();
  });

  test('acquires the client of its query in its own context', async () => {
    const pool = new ours.Pool(config({ max: 3 }));
    const seen = [];
    pool.on('acquire', () => seen.push(storage.getStore()));
    await Promise.all(TENANTS.map((tenant) => within(tenant, () => pool.query('SELECT 1'))));
    expect(seen.sort()).toEqual([...TENANTS].sort());
    await pool.end();
  });

  test('has a client verified in its own context', async () => {
    const verified = [];
    const pool = new ours.Pool(
      config({
        max: 3,
        verify: (client, done) => {
          verified.push(storage.getStore());
          done();
        },
      }),
    );
    const clients = await Promise.all(
      TENANTS.slice(0, 3).map((tenant) => within(tenant, () => pool.connect())),
    );
    expect(verified.sort()).toEqual(TENANTS.slice(0, 3));
    for (const client of clients) client.release();
    await pool.end();
  });

  test('connects in the context of one of those who wait', async () => {
    const pool = new ours.Pool(config({ max: 3 }));
    const seen = [];
    pool.on('connect', () => seen.push(storage.getStore()));
    await Promise.all(
      TENANTS.slice(0, 3).map((tenant) => within(tenant, () => pool.query('SELECT pg_sleep(0.1)'))),
    );
    expect(seen.sort()).toEqual(TENANTS.slice(0, 3));
    await pool.end();
  });
});

describe('the context of its query call', () => {
  let client;

  beforeEach(async () => {
    client = new ours.Client(config());
    await within('connect', () => client.connect());
  });

  afterEach(() => client.end());

  test('is that of the events of a Query', async () => {
    const query = (text) => {
      const one = new ours.Query(text);
      return contexts(
        one,
        ['row', 'end', 'error'],
        within(text, () => [client.query(one)].slice(1)),
      );
    };
    const [rows, failed] = [query('SELECT generate_series(1, 2)'), query('SELECT 1/0')];
    await until(() => rows.length === 3 && failed.length === 1);
    const [first, second] = ['SELECT generate_series(1, 2)', 'SELECT 1/0'];
    expect(rows).toEqual([`row in ${first}`, `row in ${first}`, `end in ${first}`]);
    expect(failed).toEqual([`error in ${second}`]);
  });

  test('is that of the callback of a Query', async () => {
    const seen = await within(
      'A',
      () =>
        new Promise((resolve) => client.query(new ours.Query('SELECT 1', () => resolve(storage.getStore())))),
    );
    expect(seen).toBe('A');
  });

  test('is that of the events and callbacks of a cursor, wherever it waits', async () => {
    const notes = [];
    const note = (name) => () => notes.push(`${name} in ${storage.getStore()}`);
    const [first, second] = ['A', 'B'].map((name) =>
      within(name, () => client.query(new Cursor('SELECT generate_series(1, 2)'))),
    );
    for (const cursor of [first, second]) cursor.on('row', note('row')).on('end', note('end'));
    await new Promise((resolve) => {
      first.read(10, (error, rows) => {
        note(`read of ${rows.length}`)();
        second.read(1, (failure, more) => {
          note(`read of ${more.length}`)();
          second.close(resolve);
        });
      });
    });
    expect(notes).toEqual([
      'row in A',
      'row in A',
      'end in A',
      'read of 2 in A',
      'row in B',
      'read of 1 in B',
      'end in B',
    ]);
  });

  test('is that of the error of a cursor whose connection is lost', async () => {
    client.on('error', () => {});
    const seen = new Promise((resolve) => {
      within('A', () => client.query(new Cursor('SELECT pg_sleep(600)'))).read(1, () =>
        resolve(storage.getStore()),
      );
    });
    await asleep(client.processID);
    await admin('SELECT pg_terminate_backend($1)', [client.processID]);
    expect(await seen).toBe('A');
  });
});

describe('a domain', () => {
  const FORMS = {
    'the callback of a query': (client, thrower) => client.query('SELECT 1', thrower),
    'the callback of a query that fails': (client, thrower) => client.query('SELECT 1/0', thrower),
    'the callback of a Query': (client, thrower, pg) => client.query(new pg.Query('SELECT 1', thrower)),
    'the callback of a query of the pool': (client, thrower, pg, pool) => pool.query('SELECT 1', thrower),
    'the callback of a checkout': (client, thrower, pg, pool) => pool.connect(thrower),
  };

  alike('hears the exceptions of callbacks', async (driver, options) => {
    const heard = {};
    for (const [name, form] of Object.entries(FORMS)) {
      const body = `async (pg, options) => {
        const pool = new pg.Pool(options);
        const client = new pg.Client(options);
        client.on('error', () => {});
        await client.connect();
        await pool.query('SELECT 1');
        const domain = require('node:domain').create();
        const leave = (text) => { console.log(text); process.exit(); };
        domain.on('error', (error) => leave('heard ' + error.message));
        process.on('uncaughtException', (error) => leave('uncaught ' + error.message));
        domain.run(() => (${form})(client, () => { throw new Error('thrown'); }, pg, pool));
      }`;
      heard[name] = (await inProcess(driver, options(), body)).stdout;
    }
    return heard;
  });
});

test('an exception of a listener of `row` is uncaught, and its query goes on', async () => {
  const { stdout } = await inProcess(ours, config(), async (pg, options) => {
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    const client = new pg.Client(options);
    await client.connect();
    const query = client.query(new pg.Query('SELECT generate_series(1, 2) AS n'));
    query.on('row', ({ n }) => {
      throw new Error(`thrown for ${n}`);
    });
    query.on('end', () => client.end().then(() => console.log('ended')));
  });
  expect(stdout.split('\n')).toEqual(['uncaught thrown for 1', 'uncaught thrown for 2', 'ended', '']);
});
