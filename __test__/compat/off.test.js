'use strict';

// The compatibility cases once more with all that this package adds switched off, as DB_*=off does it for
// the one pool that getPool has then: it behaves as pg's, in spite of the other defaults of that pool.

const { readEnvironment } = require('../../lib/config/environment');
const { config } = require('../support/server');

const OFF = { DB_TIERS: 'off', DB_RETRY: 'off', DB_BREAKER: 'off', DB_MONITOR: 'off' };
Object.assign(process.env, OFF);

// Sizes and times are the case's, pg's where it says nothing of them.
const { max, min, idleTimeoutMillis, connectionTimeoutMillis, acquireTimeoutMillis, tier, ...mockOff } =
  readEnvironment(OFF).shared;

jest.mock('../../index.js', () => {
  const ours = jest.requireActual('../../index.js');
  // What these cases ask for are the very options that were given.
  const isOfOptions = () => expect.getState().currentTestName?.includes('the object itself');
  class BoundPool extends ours.Pool {
    constructor(options) {
      super(isOfOptions() ? options : { ...mockOff, ...options });
    }
  }
  return { ...ours, Pool: BoundPool };
});

test('the pools of these cases have everything switched off', async () => {
  const { Pool, metrics } = require('../../index.js');
  const pool = new Pool(config({ tier: 'switched off' }));
  expect(pool.options).toMatchObject({ enhanced: true, retry: 'off', breaker: 'off', failFast: true });
  await pool.query('SELECT 1');
  expect(metrics().pools.filter(({ name }) => name === 'switched off')).toEqual([]);
  await pool.end();
});

describe.each(['pool', 'client', 'events'])('everything switched off: %s', (name) => {
  require(`./${name}.test.js`);
});
