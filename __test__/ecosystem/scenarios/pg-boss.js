'use strict';

const PgBoss = require('pg-boss');

module.exports = async function scenario(config) {
  const boss = new PgBoss({ ...config, max: 4, schedule: false, supervise: false });
  const errors = [];
  boss.on('error', (error) => errors.push(error.message));
  await boss.start();
  await boss.createQueue('mail');
  const sent = [];
  for (const n of [1, 2, 3]) sent.push(typeof (await boss.send('mail', { n }, { retryLimit: 0 })));
  const worked = [];
  await new Promise((resolve) => {
    boss.work('mail', { pollingIntervalSeconds: 0.5, batchSize: 3 }, async (jobs) => {
      for (const { data } of jobs) worked.push(data.n);
      if (worked.length === 3) resolve();
    });
  });
  await boss.offWork('mail');
  const id = await boss.send('mail', { n: 4 });
  const [fetched] = await boss.fetch('mail');
  await boss.fail('mail', fetched.id, new Error('broken'));
  const job = await boss.getJobById('mail', id);
  await boss.stop({ graceful: true, wait: true });
  return { sent, worked: worked.sort(), same: fetched.id === id, output: job.output.message, errors };
};
