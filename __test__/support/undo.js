'use strict';

// What a test has opened is closed after it, the last first. Required by the test file itself.

const { Pool } = require('../..');
const { config } = require('./server');

/** Steps that are taken back to front after the test; each may be async. */
const undo = [];

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/** A pool of two connections, unless `options` say otherwise, that ends after the test. */
function open(options, PoolClass = Pool) {
  const pool = new PoolClass(config({ max: 2, ...options }));
  undo.push(() => pool.end());
  return pool;
}

module.exports = { open, undo };
