'use strict';

// The process of one row, so that it can have a network of its own and a limit on its time. It gets the row's name and
// the terms from its parent, tells each cell as it is done, and the result at the end.

const { chooseRows } = require('./rows');
const { runRow } = require('./run-row');

process.once('message', async ({ name, options }) => {
  const [row] = chooseRows([name]);
  try {
    const result = await runRow(row, { ...options, tell: (cell) => process.send({ cell }) });
    process.send({ result });
  } catch (error) {
    process.send({ error: error.stack });
  }
  process.disconnect();
});
// Without its parent it ends at once; servers and contenders notice by themselves.
process.on('disconnect', () => process.exit());
