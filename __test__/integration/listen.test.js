'use strict';

// `pool.listen`: notifications on a connection of its own, which comes back after a loss and tells of the gap.

const { once } = require('node:events');
const { Pool } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');
const { until } = require('../support/until');

let database;
let direct;
let proxy;
let pool;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
});
afterAll(async () => {
  await direct.end();
  await database.drop();
});
beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
  pool = new Pool(
    database.config({ host: proxy.host, port: proxy.port, max: 1, application_name: 'listen-test' }),
  );
});
afterEach(async () => {
  if (!pool.ending) await pool.end();
  await proxy.stop();
});

const notify = (channel, payload) => direct.query('SELECT pg_notify($1, $2)', [channel, payload]);

async function backends() {
  const { rows } = await direct.query(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'listen-test' AND datname = current_database()",
  );
  return rows.map(({ pid }) => pid);
}

/** A handler that gathers what it hears, and the gaps. */
function ear() {
  const heard = [];
  const gaps = [];
  const handler = ({ payload }) => heard.push(payload);
  return { heard, gaps, handler, onGap: (gap) => gaps.push(gap) };
}

/** Notifies until one arrives: it is listened to again. */
async function heardAgain({ heard }, channel, payload) {
  await until(async () => {
    await notify(channel, payload);
    return heard.includes(payload);
  });
}

test('a handler gets each notification of its channel, as an event of pg has it', async () => {
  const heard = [];
  const subscription = await pool.listen('news', (message) => heard.push(message));
  expect(subscription.channel).toBe('news');
  await notify('other', 'not for us');
  await notify('news', 'first');
  await notify('news', '');
  await until(() => heard.length === 2);
  expect(heard).toEqual([
    expect.objectContaining({ channel: 'news', payload: 'first', processId: expect.any(Number) }),
    expect.objectContaining({ channel: 'news', payload: '' }),
  ]);
});

test('the connection is none of the places of the pool, and channels share it', async () => {
  const ears = [ear(), ear(), ear()];
  await Promise.all(['a', 'b', 'b'].map((channel, i) => pool.listen(channel, ears[i].handler)));
  expect([pool.totalCount, await backends()]).toEqual([0, [expect.any(Number)]]);
  const client = await pool.connect();
  await Promise.all([notify('a', 'to a'), notify('b', 'to b')]);
  await until(() => ears.every(({ heard }) => heard.length === 1));
  expect(ears.map(({ heard }) => heard)).toEqual([['to a'], ['to b'], ['to b']]);
  client.release();
});

test('a name is a name, whatever is written in it', async () => {
  const { heard, handler } = ear();
  const channel = 'Mixed "case"; DROP TABLE x; --';
  await pool.listen(channel, handler);
  await notify(channel, 'quoted');
  await until(() => heard.length === 1);
});

test('what is no channel, no handler or no option is refused', async () => {
  for (const channel of ['', undefined, 7, 'a\0b', 'x'.repeat(64)])
    await expect(pool.listen(channel, () => {})).rejects.toThrow(TypeError);
  await expect(pool.listen('news')).rejects.toThrow(TypeError);
  await expect(pool.listen('news', () => {}, { onGap: 'no' })).rejects.toThrow(TypeError);
  await expect(pool.listen('news', () => {}, { heartbeatMillis: 0 })).rejects.toThrow(TypeError);
  expect(await backends()).toEqual([]);
});

test('after a loss it listens again, and each subscription hears of its gap before anything else', async () => {
  const order = [];
  const one = await pool.listen('one', ({ payload }) => order.push(payload), {
    onGap: (gap) => order.push(gap),
  });
  const other = ear();
  await pool.listen('other', other.handler, other);
  const [pid] = await backends();
  const before = Date.now();
  await direct.query('SELECT pg_terminate_backend($1)', [pid]);
  await until(() => order.length > 0);
  await notify('one', 'after');
  await until(() => order.includes('after'));
  const [gap] = order;
  expect(gap).toMatchObject({ channel: 'one', since: expect.any(Date), until: expect.any(Date) });
  expect(gap.cause).toMatchObject({ code: '57P01' });
  expect(gap.since.getTime()).toBeLessThanOrEqual(before);
  expect(gap.until.getTime()).toBeGreaterThanOrEqual(before);
  expect(other.gaps).toEqual([expect.objectContaining({ channel: 'other' })]);
  await one.close();
});

test('a cut and a server that is away for a while are outlasted', async () => {
  const { heard, gaps, handler, onGap } = ear();
  await pool.listen('news', handler, { onGap });
  await proxy.refuse();
  proxy.cut();
  const accepted = proxy.accepted;
  await notify('news', 'missed');
  const late = pool.listen('late', () => {});
  await expect(late).rejects.toThrow();
  await proxy.listen();
  await heardAgain({ heard }, 'news', 'back');
  expect(heard).not.toContain('missed');
  expect(gaps).toHaveLength(1);
  expect(proxy.accepted).toBeGreaterThan(accepted);
});

test('a connection on which nothing comes any more is noticed by its heartbeat', async () => {
  const { heard, gaps, handler, onGap } = ear();
  await pool.listen('news', handler, { onGap, heartbeatMillis: 100 });
  // Its bytes go nowhere, and nobody closes it.
  for (const link of proxy.links) link.stall();
  await heardAgain({ heard }, 'news', 'back');
  expect(gaps[0].cause.message).toBe('the server has not answered in time');
});

test('a server that falls silent while it is told the channels is left, the first time and after a loss', async () => {
  proxy.when({ direction: 'toServer', message: 'Q' }, 'stall');
  const options = { heartbeatMillis: 100 };
  await expect(pool.listen('news', () => {}, options)).rejects.toThrow('has not answered in time');
  const { heard, handler } = ear();
  await pool.listen('news', handler, options);
  const stalled = once(proxy, 'fired');
  proxy.when({ direction: 'toServer', message: 'Q' }, 'stall');
  proxy.cut();
  await stalled;
  await heardAgain({ heard }, 'news', 'back');
});

test('a server that takes a connection and says nothing is left', async () => {
  proxy.stall();
  const silent = pool.listen('news', () => {}, { heartbeatMillis: 100 });
  await expect(silent).rejects.toThrow('timeout expired');
  proxy.resume();
});

test('channels that are told together go to the server one after the other', async () => {
  await pool.listen('first', () => {});
  const { client } = pool._listeners.connection;
  const { query } = client;
  let underWay = 0;
  let most = 0;
  client.query = (...args) => {
    most = Math.max(most, ++underWay);
    return query.apply(client, args).finally(() => underWay--);
  };
  await Promise.all(['a', 'b', 'c', 'd'].map((channel) => pool.listen(channel, () => {})));
  expect(most).toBe(1);
});

test('a heartbeat that is answered disturbs nobody', async () => {
  const { gaps, handler, onGap } = ear();
  await pool.listen('news', handler, { onGap, heartbeatMillis: 1000 });
  for (let beats = 0; beats < 2; beats++) {
    let asked = false;
    proxy.when({ direction: 'toServer', message: 'Q' }, () => (asked = true));
    await until(() => asked);
  }
  expect(gaps).toEqual([]);
});

test('a subscription that is closed hears no more, and the last one closes the connection', async () => {
  const first = ear();
  const second = ear();
  const subscription = await pool.listen('news', first.handler);
  const kept = await pool.listen('news', second.handler);
  const other = await pool.listen('other', second.handler);
  await subscription.close();
  await subscription.close();
  await notify('news', 'one');
  await until(() => second.heard.includes('one'));
  await kept.close();
  await notify('news', 'two');
  await notify('other', 'three');
  await until(() => second.heard.includes('three'));
  expect([first.heard, second.heard]).toEqual([[], ['one', 'three']]);
  await other.close();
  await until(async () => (await backends()).length === 0);
  const again = ear();
  await pool.listen('news', again.handler);
  await notify('news', 'four');
  await until(() => again.heard.includes('four'));
});

test('await using closes it', async () => {
  if (!Symbol.asyncDispose) return;
  const { heard, handler } = ear();
  const subscription = await pool.listen('news', handler);
  await subscription[Symbol.asyncDispose]();
  await until(async () => (await backends()).length === 0);
  expect(heard).toEqual([]);
});

test('the first connect that fails is told, and nothing stays behind', async () => {
  await proxy.refuse();
  await expect(pool.listen('news', () => {})).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await proxy.listen();
  const accepted = proxy.accepted;
  await pool.query('SELECT 1');
  expect(proxy.accepted).toBe(accepted + 1);
});

test('the end of the pool does not wait for a server that is silent', async () => {
  const { host, port } = proxy;
  const pipelining = new Pool(database.config({ host, port, pipeline: true }));
  for (const one of [pool, pipelining]) await one.listen('news', () => {});
  proxy.stall();
  const late = pipelining.listen('late', () => {});
  await pool.end();
  await pipelining.end();
  await expect(late).rejects.toThrow();
  proxy.resume();
});

test('the end of the pool is the end of it, at whatever point it is', async () => {
  await pool.listen('news', () => {});
  await pool.end();
  await until(async () => (await backends()).length === 0);
  await expect(pool.listen('news', () => {})).rejects.toThrow('after calling end');

  const opening = new Pool(database.config({ host: proxy.host, port: proxy.port }));
  const refused = opening.listen('news', () => {}).catch((error) => error);
  await opening.end();
  expect(await refused).toBeInstanceOf(Error);

  const away = new Pool(database.config({ host: proxy.host, port: proxy.port }));
  const { gaps, handler, onGap } = ear();
  await away.listen('news', handler, { onGap });
  await proxy.refuse();
  proxy.cut();
  await away.end();
  expect(gaps).toEqual([]);
});
