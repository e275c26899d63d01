'use strict';

// As its neighbour; and it loads the package again in the middle, as `jest.resetModules()` does.

const { config } = require('../../support/server');

test('each load of the package works', async () => {
  for (let load = 0; load < 3; load++) {
    jest.resetModules();
    const { Pool } = require('../../..');
    const pool = new Pool(config());
    expect((await pool.query('SELECT $1::int AS load', [load])).rows).toEqual([{ load }]);
    await pool.end();
  }
});
