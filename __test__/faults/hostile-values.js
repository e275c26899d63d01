'use strict';

// Values that attack: nested, changing while they are read, throwing from getters and traps, asking the pool again from
// within. Each query also brings a mark of its own, which it must get back, and which nobody else may; each settles.

const ours = require('../..');
const { config } = require('../support/server');
const { until } = require('../support/until');
const { Chance } = require('./chance');
const { outcome } = require('./trial');

const BOUND = 40_000;
const DEPTH = 4;
const TEXT = 'SELECT $1::text AS mine, $2::text AS other, $1::text AS again';

class Attacker {
  constructor(run, number) {
    this.run = run;
    this.number = number;
    this.chance = new Chance(run.seed, `attacker ${number}`);
    this.asked = 0;
    // Calls of the pool from within values; a value that is read often does not ask for ever.
    this.left = 0;
    this.inner = [];
  }

  async round() {
    const { chance } = this;
    this.left = 20;
    const pool = new ours.Pool(
      config({ max: chance.pick([1, 2, 4]), pipeline: chance.isTrue(0.2), query_timeout: 5000 }),
    );
    pool.on('error', () => {});
    const calls = Array.from({ length: 15 }, () => this.ask(pool, 0));
    await Promise.all(calls);
    while (this.inner.length > 0) await Promise.all(this.inner.splice(0));
    await this.check(pool);
  }

  /** The pool serves, and nothing is leased. */
  async check(pool) {
    const { value } = await outcome(pool.query('SELECT 1 AS one'), BOUND);
    if (value?.rows[0]?.one !== 1) this.run.wrong.push('the pool does not serve after a round');
    await until(() => pool.totalCount === pool.idleCount && pool.waitingCount === 0, {
      what: 'an idle pool',
    });
    if ((await outcome(pool.end(), BOUND)) === 'hung') this.run.hung.push('pool.end');
  }

  /** One query, by any way; it is settled when this resolves. */
  async ask(pool, depth) {
    this.run.calls++;
    const mine = `mark-${this.number}-${++this.asked}`;
    const name = this.chance.pick(Object.keys(WAYS));
    const end = await outcome((async () => WAYS[name](pool, this.config(pool, mine, depth)))(), BOUND);
    if (end === 'hung') return this.run.hung.push(name);
    const row = end.value?.rows?.[0];
    if (row === undefined) return;
    this.run.answered++;
    const [got, , again] = Array.isArray(row) ? row : [row.mine, row.other, row.again];
    if (got !== mine || again !== mine) this.run.wrong.push(`${mine} got ${got} and ${again}`);
  }

  config(pool, mine, depth) {
    const { chance } = this;
    const values = [mine, this.value(pool, depth)];
    const given = {
      text: TEXT,
      values:
        chance.weighted({ plain: 6, proxy: 1, getter: 1, late: 1 }) === 'plain'
          ? values
          : this.oddList(values),
      name: chance.pick([undefined, undefined, 'named']),
      rowMode: chance.pick([undefined, undefined, 'array']),
      types: chance.pick([undefined, undefined, this.types(pool, depth)]),
      signal: chance.isTrue(0.05) ? AbortSignal.timeout(chance.between(0, 10)) : undefined,
    };
    return chance.isTrue(0.1) ? this.withGetters(given) : given;
  }

  oddList(values) {
    return this.chance.pick([
      () => new Proxy(values, {}),
      () => new Proxy(values, { get: (list, key) => (key === '1' ? this.fail() : list[key]) }),
      () => Object.defineProperty([...values], 1, { enumerable: true, get: () => values[1] }),
      () => Object.assign(Object.create(values), { length: 2 }),
      () => Object.assign([...values], { map: () => this.fail(), length: this.chance.pick([2, 3, 1000]) }),
    ])();
  }

  withGetters(given) {
    const odd = {};
    for (const [name, value] of Object.entries(given)) {
      const fails = this.chance.isTrue(0.1);
      Object.defineProperty(odd, name, { enumerable: true, get: () => (fails ? this.fail() : value) });
    }
    return odd;
  }

  fail() {
    throw this.chance.pick([new Error('mine'), null, undefined, 5, 'text', Object.create(null)]);
  }

  /** Asks the pool from within whatever runs. */
  again(pool, depth) {
    if (depth >= 2 || this.left-- <= 0) return;
    this.inner.push(this.ask(pool, depth + 1));
  }

  types(pool, depth) {
    const parse = (text) => {
      if (this.chance.isTrue(0.1)) this.again(pool, depth);
      return text;
    };
    return { getTypeParser: () => (this.chance.isTrue(0.05) ? this.fail() : parse) };
  }

  value(pool, depth, level = 0) {
    const { chance } = this;
    const within = () => this.value(pool, depth, level + 1);
    const kinds = { flat: 4, ...(level < DEPTH && { list: 2, object: 2, converted: 2 }), hostile: 2 };
    const kind = chance.weighted(kinds);
    if (kind === 'list') return Array.from({ length: chance.pick([0, 1, 2, 50]) }, within);
    if (kind === 'object')
      return Object.fromEntries([1, 2, 3].map((n) => [chance.pick(['a', '__proto__', n]), within()]));
    if (kind === 'converted')
      return { toPostgres: (prepare) => (this.again(pool, depth), prepare(within())) };
    return kind === 'flat' ? this.flat() : this.hostile(pool, depth, within);
  }

  flat() {
    const { chance } = this;
    return chance.pick([
      () => null,
      () => undefined,
      () => chance.pick([0, -0, NaN, Infinity, 1n << 70n, true]),
      () => '"\\{},\'\n\0'.slice(0, chance.between(0, 9)),
      () => 'ü\ud800🦀'.repeat(chance.between(0, 3000)),
      () => new Date(chance.pick([NaN, 0, 8.64e15, -8.64e15])),
      () => Buffer.alloc(chance.pick([0, 1, 70_000]), 'mark-'),
      () => new Uint16Array([1, 2, 3]).subarray(1),
      () => Symbol('mine'),
      () => () => 'a function',
    ])();
  }

  hostile(pool, depth, within) {
    const { chance } = this;
    const fail = () => this.fail();
    const again = () => this.again(pool, depth);
    return chance.pick([
      () => ({ toPostgres: fail }),
      () => ({ toJSON: fail }),
      () => ({ toJSON: () => (again(), within()) }),
      () => Object.defineProperty({}, 'toPostgres', { get: fail }),
      () => Object.defineProperty({}, 'mine', { enumerable: true, get: () => (again(), fail()) }),
      () => new Proxy({}, { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail }),
      () =>
        new Proxy([1, 2], { get: (list, key) => (key === 'length' ? (again(), list.length) : list[key]) }),
      () => {
        const circle = { list: [] };
        circle.list.push(circle);
        return circle;
      },
      () => {
        const circle = [];
        circle.push(circle);
        return circle;
      },
      () => {
        const self = { toPostgres: () => self };
        return self;
      },
      () => {
        const list = [1, 2, 3];
        list.push({ toPostgres: () => (list.length = chance.between(0, 9)) });
        return list;
      },
      () => {
        const bytes = new Uint8Array(100);
        return [{ toPostgres: () => (structuredClone(bytes, { transfer: [bytes.buffer] }), 'gone') }, bytes];
      },
      () =>
        Object.defineProperty(Object.assign(Buffer.from('abc'), { toString: fail }), 'length', {
          value: 100_000,
        }),
      () => Object.assign(new Date(), { getTimezoneOffset: fail, getFullYear: fail, toISOString: fail }),
      () => ({ toString: fail, valueOf: fail, [Symbol.toPrimitive]: fail }),
    ])();
  }
}

const withClient = async (pool, work) => {
  const client = await pool.connect();
  client.on('error', () => {});
  try {
    return await work(client);
  } finally {
    client.release();
  }
};

const WAYS = {
  query: (pool, given) => pool.query(given),
  callback: (pool, given) =>
    new Promise((resolve, reject) =>
      pool.query(given, (error, result) => (error ? reject(error) : resolve(result))),
    ),
  client: (pool, given) => withClient(pool, (client) => client.query(given)),
  transaction: (pool, given) => pool.transaction((client) => client.query(given), { retries: 0 }),
};

/**
 * Attacks for `seconds`.
 * @returns what was found: `wrong` and `hung`, and how much was done
 */
async function hostileValues(seed, seconds) {
  const run = { seed, wrong: [], hung: [], calls: 0, answered: 0 };
  const end = Date.now() + seconds * 1000;
  await Promise.all(
    [1, 2].map(async (number) => {
      const attacker = new Attacker(run, number);
      while (Date.now() < end && run.hung.length === 0) await attacker.round();
    }),
  );
  const { wrong, hung, calls, answered } = run;
  return { seed, seconds, calls, answered, wrong: wrong.slice(0, 20), hung };
}

module.exports = { hostileValues };
