// The three pools of the application. A driver with tiers hands them out by
// name; with plain pg they are three pools over the same DB_* variables.
// They are made at first use, so a script that only migrates opens only the
// admin pool. NEWS_POOLS=1 makes one pool of them all, as most applications
// on plain pg have it.

'use strict';

const driver = require('../driver');

const TIERS = {
  highPriority: { max: 30, idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000, env: 'DB_HIGH_PRIORITY' },
  lowPriority: { max: 10, idleTimeoutMillis: 60000, connectionTimeoutMillis: 5000, env: 'DB_LOW_PRIORITY' },
  admin: { max: 5, idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000, env: 'DB_ADMIN' },
};

const QUIET_MILLIS = 1000;
const made = new Map();

// An empty or missing variable is undefined, so that pg falls back to PG*.
const text = (name) => process.env[name] || undefined;

function number(name, fallback) {
  const value = text(name);
  if (value === undefined) return fallback;
  if (!/^\d+$/.test(value)) throw new Error(`${name} must be a whole number`);
  return Number(value);
}

const isOne = () => process.env.NEWS_POOLS === '1';

function maxOf(tier) {
  const { env, max } = TIERS[tier];
  return number(`${env}_MAX`, max);
}

function plainPool(tier) {
  const { env: _, ...defaults } = TIERS[tier];
  const login = tier === 'admin' ? { user: text('DB_ADMIN_USER'), password: text('DB_ADMIN_PASSWORD') } : {};
  return new driver.Pool({
    host: text('DB_HOST'),
    port: number('DB_PORT'),
    database: text('DB_NAME'),
    user: login.user || text('DB_USER'),
    password: login.password || text('DB_PASSWORD'),
    ...defaults,
    max: isOne() ? Object.keys(TIERS).reduce((sum, name) => sum + maxOf(name), 0) : maxOf(tier),
    application_name: isOne() ? 'news-app' : `news-app ${tier}`,
  });
}

// Losing idle connections comes in bursts: one line a second says enough.
function logIdleErrors(tier, pool) {
  let silentUntil = 0;
  pool.on('error', (err) => {
    if (pool.ending || Date.now() < silentUntil) return;
    silentUntil = Date.now() + QUIET_MILLIS;
    console.error(`${tier}: idle connection lost: ${err.message}`);
  });
}

function tierPool(asked) {
  const tier = isOne() ? 'highPriority' : asked;
  let pool = made.get(tier);
  if (!pool) {
    pool = driver.getPool && !isOne() ? driver.getPool(tier) : plainPool(tier);
    // With tiers switched off, several names may share one pool.
    if (![...made.values()].includes(pool)) logIdleErrors(tier, pool);
    made.set(tier, pool);
  }
  return pool;
}

function counts() {
  const all = {};
  for (const tier of Object.keys(TIERS)) {
    const pool = made.get(tier);
    all[tier] = {
      total: pool ? pool.totalCount : 0,
      idle: pool ? pool.idleCount : 0,
      waiting: pool ? pool.waitingCount : 0,
    };
  }
  return all;
}

async function endAll() {
  const distinct = new Set(made.values());
  made.clear();
  await Promise.all([...distinct].map((pool) => pool.end()));
}

// A statement that only reads, on the pool of readers. pg ignores `readOnly`; a driver that knows it may run the
// statement again when its connection is lost.
function read(text, values, name) {
  return tierPool('highPriority').query({ name, text, values, readOnly: true });
}

module.exports = {
  read,
  get high() {
    return tierPool('highPriority');
  },
  get low() {
    return tierPool('lowPriority');
  },
  get admin() {
    return tierPool('admin');
  },
  counts,
  endAll,
};
