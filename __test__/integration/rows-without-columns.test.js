'use strict';

// Rows without columns have no bytes, and take their turns all the same: millions of them leave room for timers and
// other requests. Turns of the event loop are counted, not time.

const { Client, Query } = require('../..');
const { config } = require('../support/server');

const ROWS = 5_000_000;
// Handed over at once they would come in one or two. A turn reads for a few milliseconds, and they take far longer.
const TURNS = 20;

test('five million rows without columns come in many turns of the event loop', async () => {
  const client = new Client(config());
  await client.connect();
  let rows = 0;
  let turnsWithRows = 0;
  let isOver = false;
  const count = (before) => {
    if (rows > before) turnsWithRows++;
    if (!isOver) setImmediate(count, rows);
  };
  setImmediate(count, 0);
  const result = await new Promise((resolve, reject) => {
    const query = client.query(new Query(`SELECT FROM generate_series(1, ${ROWS})`));
    query.on('row', () => rows++);
    query.on('end', resolve);
    query.on('error', reject);
  });
  isOver = true;
  expect([rows, result.rowCount]).toEqual([ROWS, ROWS]);
  expect(turnsWithRows).toBeGreaterThan(TURNS);
  await client.end();
});
