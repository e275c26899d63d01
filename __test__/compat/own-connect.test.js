'use strict';

// Clients with a `connect` of their own, patched on the prototype or overridden in a derived class: the
// pool makes its connections through it. Each body runs with pg and with this package.

const { AsyncLocalStorage } = require('node:async_hooks');
const { alike, journal } = require('./alike');
const { closedPort } = require('../support/ports');
const { config } = require('../support/server');
const { until } = require('../support/until');
const ours = require('../../index.js');

/** Runs `body` while `Client.prototype.connect` is what `replace(original)` returns. */
async function patched(driver, replace, body) {
  const { prototype } = driver.Client;
  const original = prototype.connect;
  prototype.connect = replace(original);
  try {
    return await body();
  } finally {
    prototype.connect = original;
  }
}

const counts = ({ totalCount, idleCount, waitingCount }) => [totalCount, idleCount, waitingCount];

alike('what it calls back with fails the checkout, and the next one tries again', (driver, config) => {
  const refusal = new Error('not today');
  let calls = 0;
  const once = (original) =>
    function connect(callback) {
      if (calls++ === 0) return setImmediate(() => callback(refusal));
      return original.call(this, callback);
    };
  return patched(driver, once, async () => {
    const pool = new driver.Pool(config({ max: 1, connectionTimeoutMillis: 60_000 }));
    const failed = await pool.connect().catch((error) => [error === refusal, ...counts(pool)]);
    const { rows } = await pool.query('SELECT 1 AS one');
    await pool.end();
    return [failed, rows, calls];
  });
});

alike('it is called once per connection, on the client that the pool then lends', (driver, config) => {
  const made = [];
  class Watched extends driver.Client {
    connect(callback) {
      made.push(this);
      return super.connect(callback);
    }
  }
  const work = async () => {
    const pool = new driver.Pool({ ...config({ max: 2 }), Client: Watched });
    const events = journal(pool, ['connect', 'acquire', 'release', 'remove']);
    const [first, second] = [await pool.connect(), await pool.connect()];
    const same = [first === made[0], second === made[1], first instanceof Watched];
    first.release();
    const again = await pool.connect();
    same.push(again === first);
    again.release();
    second.release();
    await pool.query('SELECT 1');
    const before = [made.length, ...counts(pool)];
    await pool.end();
    return [same, before, events.filter((event) => event !== 'remove')];
  };
  return work();
});

alike('its queries come before anybody else has the connection', (driver, config) => {
  class Prepared extends driver.Client {
    connect(callback) {
      return super.connect((error) => {
        if (error) return callback(error);
        return this.query("SET application_name = 'prepared'").then(() => callback(null, this), callback);
      });
    }
  }
  const work = async () => {
    const pool = new driver.Pool({
      ...config(),
      Client: Prepared,
      onConnect: (client) => client.query('SET work_mem = 1024'),
    });
    const { rows } = await pool.query(
      "SELECT current_setting('application_name') AS name, current_setting('work_mem') AS memory",
    );
    await pool.end();
    return rows;
  };
  return work();
});

// pg forgets such a client and leaves its connection open.
test('an error after the connection was made fails the checkout and closes it', async () => {
  const refusal = new Error('not this server');
  let client;
  const picky = (original) =>
    function connect(callback) {
      client = this;
      return original.call(this, (error) => callback(error || refusal));
    };
  await patched(ours, picky, async () => {
    const pool = new ours.Pool(config({ max: 1 }));
    await expect(pool.query('SELECT 1')).rejects.toBe(refusal);
    expect(counts(pool)).toEqual([0, 0, 0]);
    await until(() => client._ended);
    await pool.end();
  });
});

alike('it may give a failure another reason', async (driver, config) => {
  const port = await closedPort();
  const reason = new Error('the reason');
  let seen;
  const renaming = (original) =>
    function connect(callback) {
      return original.call(this, (error) => {
        seen = error;
        callback(reason);
      });
    };
  return patched(driver, renaming, async () => {
    const pool = new driver.Pool(config({ port }));
    const failed = await pool.connect().catch((error) => error);
    await pool.end();
    return [failed === reason, seen.code];
  });
});

alike('a failure that it passes on is the error that the caller gets', async (driver, config) => {
  const port = await closedPort();
  let seen;
  const watching = (original) =>
    function connect(callback) {
      return original.call(this, (error) => {
        seen = error;
        callback(error);
      });
    };
  return patched(driver, watching, async () => {
    const pool = new driver.Pool(config({ port }));
    const failed = await pool.connect().catch((error) => error);
    await pool.end();
    return [failed === seen, failed.code, counts(pool)];
  });
});

alike('it runs in the context of the caller', (driver, config) => {
  const context = new AsyncLocalStorage();
  const seen = [];
  const looking = (original) =>
    function connect(callback) {
      seen.push(context.getStore());
      return original.call(this, callback);
    };
  return patched(driver, looking, async () => {
    const pool = new driver.Pool(config({ max: 3 }));
    const clients = await Promise.all(['a', 'b'].map((name) => context.run(name, () => pool.connect())));
    await context.run('c', () => pool.query('SELECT 1'));
    for (const client of clients) client.release();
    await context.run('d', () => pool.query('SELECT 1'));
    await pool.end();
    return seen;
  });
});

test('one that takes too long fails the checkout in time, and its connection is not kept', async () => {
  let late;
  const slow = (original) =>
    function connect(callback) {
      late = () => original.call(this, callback);
    };
  await patched(ours, slow, async () => {
    const pool = new ours.Pool(config({ max: 1, connectionTimeoutMillis: 100 }));
    await expect(pool.connect()).rejects.toThrow('timeout');
    expect(counts(pool)).toEqual([0, 0, 0]);
    late();
    expect(counts(pool)).toEqual([0, 0, 0]);
    await pool.end();
  });
});

test('a connect that never comes to ours is connected all the same', async () => {
  class Mocked extends ours.Client {
    connect(callback) {
      process.nextTick(callback);
    }
  }
  const pool = new ours.Pool({ ...config(), Client: Mocked });
  const client = await pool.connect();
  expect(client).toBeInstanceOf(Mocked);
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  client.release();
  await pool.end();
});
