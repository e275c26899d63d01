'use strict';

const { run, Logger } = require('graphile-worker');

module.exports = async function scenario(config, { Pool }) {
  const pool = new Pool({ ...config, max: 5 });
  pool.on('error', () => {});
  const worked = [];
  const events = [];
  let finish;
  const finished = new Promise((resolve) => {
    finish = resolve;
  });
  const runner = await run({
    pgPool: pool,
    concurrency: 2,
    noHandleSignals: true,
    pollInterval: 500,
    logger: new Logger(() => () => {}),
    taskList: {
      add: async ({ a, b }, helpers) => {
        const { rows } = await helpers.query('SELECT $1::int + $2::int AS sum', [a, b]);
        worked.push(rows[0].sum);
      },
    },
  });
  runner.events.on('job:success', ({ job }) => events.push(job.task_identifier));
  runner.events.on('job:complete', () => events.length === 4 && finish());
  for (const n of [1, 2, 3, 4]) await runner.addJob('add', { a: n, b: n });
  await finished;
  await runner.stop();
  // Nobody waits for the statement that takes a job off the queue.
  let rows;
  do ({ rows } = await pool.query('SELECT count(*)::int AS left FROM graphile_worker.jobs'));
  while (rows[0].left > 0);
  await pool.end();
  return { worked: worked.sort(), events, rows };
};
